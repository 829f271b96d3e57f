//! A bucket in memory behind the XML protocol that S3 and Google Cloud Storage share: what no real server does on this
//! machine (Google's tokens, Amazon's cold storage classes), and what a real one must not do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::http::{Answer, Request, Serving};

/// Objects of a page of a listing: few, so that tests see several pages.
const PAGE: usize = 50;

/// How a bucket differs from a plain one.
#[derive(Debug, Clone, Default)]
pub struct BucketRules {
    /// The `Authorization` header must begin so.
    pub authorization: String,
    /// Deletions are refused.
    pub keeps_all: bool,
    /// Objects cannot be replaced.
    pub locks: bool,
    /// Deleting hides an object behind a marker, and replacing it keeps what was there, as in a bucket with versions.
    pub keeps_versions: bool,
    /// What is written is locked until then: a version that is locked cannot be deleted. Without versions that is the object.
    pub locked_until: Option<String>,
    /// A write that must not replace does so all the same.
    pub ignores_conditions: bool,
    /// A range is answered with the whole object.
    pub ignores_ranges: bool,
    /// How often the state of a thawing object must be asked until it is thawed.
    pub thaw_polls: u32,
}

#[derive(Debug, Clone, Default)]
struct Object {
    bytes: Vec<u8>,
    class: String,
    /// For how many more looks it thaws; `None` if nobody asked for it.
    thawing: Option<u32>,
    /// Until when it cannot be deleted.
    locked_until: Option<String>,
}

impl Object {
    fn is_cold(&self) -> bool {
        matches!(self.class.as_str(), "GLACIER" | "DEEP_ARCHIVE") && self.thawing != Some(0)
    }
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Object>,
    /// Versions that are not shown: deleted or replaced, the newest last.
    hidden: Vec<(String, Object)>,
    rules: BucketRules,
    journal: Vec<String>,
}

/// A running server of one bucket, of any name.
pub struct Bucket {
    state: Arc<Mutex<State>>,
    serving: Serving,
}

impl Bucket {
    /// Starts an empty one.
    #[must_use]
    pub fn start(rules: BucketRules) -> Self {
        let state = Arc::new(Mutex::new(State { rules, ..State::default() }));
        let shared = Arc::clone(&state);
        let serving = Serving::start(move |request| shared.lock().unwrap().answer(&request));
        Self { state, serving }
    }

    /// Where it listens, for the store option `endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.serving.url()
    }

    /// Answers a request, for servers that stand before it.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Answer {
        self.state().answer(request)
    }

    /// The variables with which an S3 client reaches it.
    #[must_use]
    pub fn s3_variables(&self) -> Vec<(String, String)> {
        let pairs = [("AWS_ENDPOINT_URL", self.endpoint().as_str()), ("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", "SECRET")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.to_vec()
    }

    /// Names and storage classes of all objects.
    #[must_use]
    pub fn objects(&self) -> Vec<(String, String)> {
        self.state().objects.iter().map(|(key, object)| (key.clone(), object.class.clone())).collect()
    }

    /// `METHOD target` of every request so far.
    #[must_use]
    pub fn journal(&self) -> Vec<String> {
        self.state().journal.clone()
    }

    /// Moves the objects whose names begin so to a storage class, as a rule of the bucket's owner would.
    pub fn move_to_class(&self, beginning: &str, class: &str) {
        for (_, object) in self.state().objects.iter_mut().filter(|(key, _)| key.starts_with(beginning)) {
            object.class = class.to_owned();
            object.thawing = None;
        }
    }

    /// Locks what stands below here, as a period of retention does; `None` ends its lock.
    pub fn lock(&self, beginning: &str, until: Option<&str>) {
        for (_, object) in self.state().objects.iter_mut().filter(|(key, _)| key.starts_with(beginning)) {
            object.locked_until = until.map(str::to_owned);
        }
    }

    /// Names of versions that were deleted or replaced and are kept.
    #[must_use]
    pub fn hidden(&self) -> Vec<String> {
        self.state().hidden.iter().map(|(key, _)| key.clone()).collect()
    }

    /// Removes the markers that hide what was deleted, as the bucket's owner can.
    pub fn undelete(&self) {
        let state = &mut *self.state();
        for (key, object) in std::mem::take(&mut state.hidden) {
            state.objects.entry(key).or_insert(object);
        }
    }

    /// Deletes versions that are hidden and not locked, as a rule of the bucket's life cycle does.
    pub fn expire_hidden(&self) {
        self.state().hidden.retain(|(_, object)| object.locked_until.is_some());
    }

    /// Loses an object.
    pub fn lose(&self, name: &str) {
        assert!(self.state().objects.remove(name).is_some(), "no object {name}");
    }

    /// Other rules from now on.
    pub fn rule(&self, change: impl FnOnce(&mut BucketRules)) {
        change(&mut self.state().rules);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        self.journal.push(format!("{} {}", request.method, request.target));
        if !request.header("authorization").unwrap_or_default().starts_with(&self.rules.authorization) {
            return refusal(401, "AuthenticationRequired");
        }
        let path = request.path();
        let key = path.trim_start_matches('/').split_once('/').map_or(String::new(), |(_, key)| key.to_owned());
        match request.method.as_str() {
            "GET" if request.query("list-type").is_some() => self.list(request),
            "PUT" => self.put(request, key),
            "GET" | "HEAD" => self.get(request, &key),
            "POST" if request.query("restore").is_some() => self.thaw(&key),
            "DELETE" if self.rules.keeps_all => refusal(403, "AccessDenied"),
            "DELETE" => self.delete(key),
            _ => refusal(405, "MethodNotAllowed"),
        }
    }

    fn put(&mut self, request: &Request, key: String) -> Answer {
        let is_there = self.objects.contains_key(&key);
        let only_new = request.header("if-none-match") == Some("*") || request.header("x-goog-if-generation-match") == Some("0");
        if is_there && only_new && !self.rules.ignores_conditions {
            return refusal(412, "PreconditionFailed");
        }
        if is_there && self.rules.locks {
            return refusal(403, "AccessDenied");
        }
        let class = request.header("x-amz-storage-class").or_else(|| request.header("x-goog-storage-class")).unwrap_or_default();
        let locked_until = self.rules.locked_until.clone();
        let object = Object { bytes: request.body.clone(), class: class.to_owned(), thawing: None, locked_until };
        let before = self.objects.insert(key.clone(), object);
        self.hidden.extend(before.filter(|_| self.rules.keeps_versions).map(|object| (key, object)));
        Answer::new(200, "").with("etag", "\"tag\"").with("x-goog-generation", "1")
    }

    fn delete(&mut self, key: String) -> Answer {
        let until = self.objects.get(&key).and_then(|object| object.locked_until.clone());
        match until {
            Some(until) if !self.rules.keeps_versions => refusal_that_says(403, "AccessDenied", &format!("locked until {until}")),
            _ => {
                let before = self.objects.remove(&key);
                self.hidden.extend(before.filter(|_| self.rules.keeps_versions).map(|object| (key, object)));
                Answer::new(204, "")
            }
        }
    }

    fn get(&mut self, request: &Request, key: &str) -> Answer {
        let Some(object) = self.objects.get_mut(key) else { return refusal(404, "NoSuchKey") };
        if request.method == "HEAD" {
            return head(object);
        }
        if object.is_cold() {
            return refusal(403, "InvalidObjectState");
        }
        let size = object.bytes.len();
        let range = request.header("range").filter(|_| !self.rules.ignores_ranges).and_then(|range| {
            let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?.min(size.saturating_sub(1))))
        });
        let answer = match range {
            Some((start, _)) if start >= size => return refusal(416, "InvalidRange"),
            Some((start, end)) => Answer::new(206, &object.bytes[start..=end]).with("content-range", format!("bytes {start}-{end}/{size}")),
            None => Answer::new(200, object.bytes.clone()),
        };
        answer.with("etag", "\"tag\"").with("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")
    }

    fn thaw(&mut self, key: &str) -> Answer {
        let polls = self.rules.thaw_polls;
        match self.objects.get_mut(key) {
            None => refusal(404, "NoSuchKey"),
            Some(object) if !matches!(object.class.as_str(), "GLACIER" | "DEEP_ARCHIVE") => refusal(403, "InvalidObjectState"),
            Some(object) if object.thawing.is_some_and(|left| left > 0) => refusal(409, "RestoreAlreadyInProgress"),
            Some(object) => {
                object.thawing = Some(polls);
                Answer::new(202, "")
            }
        }
    }

    fn list(&self, request: &Request) -> Answer {
        let prefix = request.query("prefix").unwrap_or_default();
        let after = request.query("continuation-token").unwrap_or_default();
        let matching = self.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let page: Vec<_> = matching.take(PAGE + 1).collect();
        let is_truncated = page.len() > PAGE;
        let mut body = format!("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>");
        for (key, object) in page.iter().take(PAGE) {
            body.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>\"tag\"</ETag><Size>{}</Size></Contents>",
                object.bytes.len()
            ));
        }
        if is_truncated {
            body.push_str(&format!("<NextContinuationToken>{}</NextContinuationToken>", page[PAGE - 1].0));
        }
        Answer::new(200, body + "</ListBucketResult>")
    }
}

fn head(object: &mut Object) -> Answer {
    let mut answer = Answer::new(200, object.bytes.clone()).with("etag", "\"tag\"").with("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT");
    if !object.class.is_empty() {
        answer = answer.with("x-amz-storage-class", object.class.clone());
    }
    if let Some(left) = object.thawing {
        answer = answer.with("x-amz-restore", format!("ongoing-request=\"{}\"", left > 0));
        object.thawing = Some(left.saturating_sub(1));
    }
    answer
}

fn refusal(status: u16, code: &str) -> Answer {
    refusal_that_says(status, code, "as the test wants it")
}

fn refusal_that_says(status: u16, code: &str, message: &str) -> Answer {
    Answer::new(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}
