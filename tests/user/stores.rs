//! Repositories in object stores: each kind does all that a folder does, keeps to its prefix, and says what it can.

use std::fs;

use esker_testkit::server::azurite::{self, Azurite};
use esker_testkit::server::bucket::{Bucket, BucketRules};
use esker_testkit::server::garage::{BUCKET, Garage};
use esker_testkit::server::http::{Answer, Serving};
use esker_testkit::server::tls::PrivateTls;
use esker_testkit::tree::assert_same_tree;
use serde_json::Value;

use crate::kit::{Esker, Host, host, number};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A repository's life: made, filled, filled again with little, checked, restored, thinned out.
fn live(esker: &Esker) {
    let made = esker.json(&["init"], 0);
    assert_eq!(made["store"]["range_reads"], "yes", "{made}");
    let days = Host::cluster(esker.folder(), 2, 3000);
    let backup = |label: &str, day: usize| {
        let mut args = vec!["backup".to_owned(), "--json".into(), "--label".into(), label.into()];
        args.extend(Host::arguments(&days[day]));
        esker.run(&args).exits(0).json()
    };
    let first = backup("first", 0);
    let second = backup("second", 1);
    assert!(number(&second, "stored_bytes") * 2 < number(&first, "stored_bytes"), "{second}");
    let packs = number(&first["requests"], "put");
    assert!(packs > 0 && number(&first["requests"], "failed") == 0, "{first}");
    let checked = esker.json(&["fsck", "--level", "files"], 0);
    assert_eq!((number(&checked, "backups"), &checked["findings"]), (2, &Value::Array(Vec::new())), "{checked}");
    assert!(checked["store"].is_object(), "{checked}");

    // A client that never saw it, with a cache of its own.
    fs::remove_dir_all(esker.cache()).unwrap();
    for (label, day) in [("first", 0), ("second", 1)] {
        let target = esker.path(label);
        let restored = esker.json(&["restore", label, "--target", target.to_str().unwrap()], 0);
        assert!(number(&restored["requests"], "get") > 0, "{restored}");
        for host in 0..3 {
            let name = esker_testkit::cluster::host_name(host);
            assert_same_tree(&days[day].join(&name), &target.join(&name), &["LOCK", "LOG"]);
        }
    }
    esker.run(&["forget", "first"]).exits(0);
    assert_eq!(esker.labels(), ["second"]);
    esker.run(&["init"]).exits(1).says("already holds a repository");
    esker.run(&["fsck", "--level", "data"]).exits(0);
}

#[test]
fn a_repository_in_garage_does_all_that_one_in_a_folder_does() {
    let garage = Garage::shared();
    let esker = Esker::in_store(&format!("s3://{BUCKET}/life/one"), garage.variables());
    live(&esker);
}

#[test]
fn a_repository_in_azurite_does_all_that_one_in_a_folder_does() {
    let Some(azurite) = Azurite::start() else { return };
    azurite.make_container("backups");
    let endpoint = azurite.endpoint();
    let variables = [
        ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
        ("AZURE_STORAGE_ACCOUNT_NAME", azurite::ACCOUNT),
        ("AZURE_STORAGE_ACCOUNT_KEY", azurite::KEY),
    ];
    live(&Esker::in_store("az://backups/one", pairs(&variables)));
}

#[test]
fn a_repository_in_google_cloud_storage_does_all_that_one_in_a_folder_does() {
    let bucket = Bucket::start(BucketRules { authorization: "Bearer ya29.token".into(), ..BucketRules::default() });
    let mut esker = Esker::in_store("gs://backups/one", pairs(&[("GOOGLE_BEARER_TOKEN", "ya29.token")]));
    esker.options = vec![format!("endpoint={}", bucket.endpoint())];
    live(&esker);
    esker.variables = pairs(&[("GOOGLE_BEARER_TOKEN", "ya28.token")]);
    esker.run(&["list"]).exits(1).says("401").says("the token in GOOGLE_BEARER_TOKEN");
}

#[test]
fn a_prefix_is_one_place_and_what_begins_like_it_another() {
    let garage = Garage::shared();
    let at = |prefix: &str| Esker::in_store(&format!("s3://{BUCKET}/{prefix}"), garage.variables());
    let [one, longer] = [at("exact/a"), at("exact/ab")];
    longer.run(&["init"]).exits(0);
    one.run(&["list"]).exits(1).says("is not an Esker repository: it is empty");
    one.run(&["init"]).exits(0);
    at("exact/a/").run(&["init"]).exits(1).says("already holds a repository");
    at("exact").run(&["init"]).exits(1).says("already holds");
    at("exact").run(&["list"]).exits(1).says("is not an Esker repository: it has no config");
}

#[test]
fn init_says_what_the_store_can_and_what_that_means() {
    let garage = Garage::shared();
    let esker = Esker::in_store(&format!("s3://{BUCKET}/abilities"), garage.variables());
    let said = esker.run(&["init"]).exits(0).text();
    assert!(said.contains("conditional create  ignored (not needed"), "{said}");

    let bucket = Bucket::start(BucketRules::default());
    let esker = Esker::in_store("s3://b/whole", bucket.s3_variables());
    let made = esker.json(&["init"], 0);
    for ability in ["conditional_create", "range_reads", "read_after_write", "listing", "overwrite", "delete"] {
        assert_eq!(made["store"][ability], "yes", "{made}");
    }
    assert!(!bucket.objects().iter().any(|(name, _)| name.contains("probe")), "{:?}", bucket.objects());
}

#[test]
fn a_store_that_keeps_all_holds_a_repository_and_says_what_cannot_be_done() {
    let bucket = Bucket::start(BucketRules { keeps_all: true, locks: true, ..BucketRules::default() });
    let esker = Esker::in_store("s3://b/locked", bucket.s3_variables());
    let made = esker.json(&["init"], 0);
    assert_eq!((&made["store"]["delete"], &made["store"]["overwrite"]), (&"refused".into(), &"refused".into()), "{made}");
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "text").unwrap();
    esker.run(&["backup", "--label", "kept", "--host", &format!("h={}", source.display())]).exits(4);
    esker.run(&["forget", "kept"]).exits(1).says("403 AccessDenied").says("access key KEY");
    let checked = esker.json(&["fsck"], 0);
    let left = checked["findings"].as_array().unwrap().iter().filter(|finding| finding["what"].as_str().unwrap().contains("trial"));
    assert_eq!(left.count(), 1, "{checked}");
    assert_eq!(checked["store"]["delete"], "refused", "{checked}");
}

#[test]
fn a_store_that_cannot_read_parts_is_refused() {
    let bucket = Bucket::start(BucketRules { ignores_ranges: true, ..BucketRules::default() });
    let esker = Esker::in_store("s3://b/x", bucket.s3_variables());
    esker.run(&["init"]).exits(1).says("cannot hold a repository: it cannot read a part of an object");
    assert_eq!(bucket.objects(), []);
}

#[test]
fn a_private_authority_is_trusted_once_it_is_named() {
    let bucket = Bucket::start(BucketRules { authorization: "AWS4-HMAC-SHA256 Credential=KEY/".into(), ..BucketRules::default() });
    let mut variables = bucket.s3_variables();
    let tls = PrivateTls::start(move |request| bucket.answer(&request));
    variables[0].1 = tls.url();
    let mut esker = Esker::in_store("s3://b/x", variables);
    esker.run(&["init"]).exits(1).says("certificate is not trusted").says("ca_file");
    let authority = esker.path("authority.pem");
    tls.write_authority(&authority);
    esker.options = vec![format!("ca_file={}", authority.display())];
    esker.run(&["init"]).exits(0);
    esker.options.clear();
    esker.variables.push(("AWS_CA_BUNDLE".into(), authority.display().to_string()));
    assert_eq!(esker.labels(), Vec::<String>::new());
}

#[test]
fn requests_go_through_the_proxy_that_is_named() {
    let bucket = Bucket::start(BucketRules::default());
    let mut variables = bucket.s3_variables();
    variables[0].1 = "http://store.invalid".into();
    let proxy = Serving::start(move |mut request| {
        let Some(rest) = request.target.strip_prefix("http://store.invalid").map(str::to_owned) else {
            return Answer::new(400, "not for a proxy");
        };
        request.target = rest;
        bucket.answer(&request)
    });
    let mut esker = Esker::in_store("s3://b/x", variables);
    esker.options = vec!["allow_http=true".into(), format!("proxy={}", proxy.url())];
    esker.run(&["init"]).exits(0);
    esker.options.truncate(1);
    esker.variables.push(("HTTP_PROXY".into(), proxy.url()));
    assert_eq!(esker.labels(), Vec::<String>::new());
    esker.variables.push(("NO_PROXY".into(), "store.invalid".into()));
    esker.options.push("retry_seconds=0".into());
    esker.run(&["list"]).exits(1);
}

#[test]
fn what_is_written_asks_for_encryption_with_the_key_that_is_named() {
    // As a bucket whose policy refuses whatever is not encrypted with this key.
    let bucket = Bucket::start(BucketRules::default());
    let mut variables = bucket.s3_variables();
    let strict = Serving::start(move |request| {
        let asks = |name: &str, value: &str| request.header(name) == Some(value);
        let is_encrypted = asks("x-amz-server-side-encryption", "aws:kms")
            && asks("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:x:1:key/backup");
        match request.method.as_str() {
            "GET" | "HEAD" | "DELETE" => bucket.answer(&request),
            _ if is_encrypted || request.query("delete").is_some() => bucket.answer(&request),
            _ => Answer::new(403, "<Error><Code>AccessDenied</Code><Message>explicit deny: not encrypted</Message></Error>"),
        }
    });
    variables[0].1 = strict.url();
    let mut esker = Esker::in_store("s3://b/x", variables);
    esker.run(&["init"]).exits(1).says("403");
    esker.options = vec!["sse_kms_key_id=arn:aws:kms:x:1:key/backup".into()];
    esker.run(&["init"]).exits(0);
    let source = esker.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "kept").unwrap();
    esker.run(&["backup", "--host", &host("h", &source), "--label", "one"]).exits(4);
    esker.run(&["backup", "--host", &host("h", &source), "--label", "two", "--storage-class", "STANDARD_IA"]).exits(4);
    esker.run(&["forget", "one"]).exits(0);
    esker.run(&["prune"]).exits(0);
    esker.run(&["fsck", "--level", "files"]).exits(0);
}

#[test]
fn what_does_not_fit_a_store_is_wrong_usage() {
    let bucket = Bucket::start(BucketRules::default());
    let run = |location: &str, options: &[&str], words: &str| {
        let mut esker = Esker::in_store(location, bucket.s3_variables());
        esker.options = options.iter().map(|option| (*option).to_owned()).collect();
        esker.run(&["list"]).exits(2).says(words);
    };
    run("s3://b", &["secret_access_key=x"], "there is no store option");
    run("s3://b", &["endpoint=http://192.0.2.1"], "allow_http=true");
    run("s3://b", &["account=x"], "for az:// only");
    run("s3://b", &["retry_seconds=901"], "900 at most");
    run("s3://KEY:hidden@b", &[], "credentials come from the environment");
    run("s3://", &[], "names no bucket");
    run("az://c", &[], "AZURE_STORAGE_ACCOUNT_NAME");
    run("/tmp", &["region=x"], "store options are for");
    let garage = Garage::shared();
    let esker = Esker::in_store("s3://no-such-bucket/x", garage.variables());
    esker.run(&["init"]).exits(1).says("make it first");
}
