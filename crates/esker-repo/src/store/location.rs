//! Where a repository stands, as people write it: a folder, or a bucket and a prefix in it.

use std::path::PathBuf;

use object_store::path::Path as ObjectPath;

use crate::error::{RepoError, Result};

/// The protocol of an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// S3, Amazon's or another's.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

impl Protocol {
    /// The scheme of its locations.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }
}

/// A place that can hold a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// What stands below `prefix` in a bucket; Azure calls it a container.
    Bucket {
        /// How the store is spoken to.
        protocol: Protocol,
        /// The bucket's name.
        bucket: String,
        /// Empty for the whole bucket. `a` and `ab` are two places: a prefix ends where a component ends.
        prefix: ObjectPath,
    },
}

impl Location {
    /// Reads `s3://bucket/prefix`, `gs://…`, `az://container/prefix`, `file:///folder` or a path.
    ///
    /// # Errors
    /// `Setting` if it is none of these. What is refused is not repeated where it may hold a secret.
    pub fn parse(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        let protocol = match scheme {
            "file" if rest.starts_with('/') => return Ok(Self::Folder(PathBuf::from(rest))),
            "file" => return Err(refused(format!("{text}: a folder is file:///path, with its whole path"))),
            "s3" => Protocol::S3,
            "gs" => Protocol::Gs,
            "az" => Protocol::Az,
            _ => return Err(refused(format!("{scheme}:// is not supported: a repository is at s3://, gs://, az:// or in a folder"))),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.contains(['@', ':']) || rest.contains(['?', '#']) {
            return Err(refused(format!(
                "a location is {scheme}://bucket/prefix and nothing else; credentials come from the environment or a profile"
            )));
        }
        if prefix.starts_with('/') {
            return Err(refused(format!("{text}: two slashes behind the bucket; a location is {scheme}://bucket/prefix")));
        }
        if bucket.is_empty() {
            return Err(refused(format!("{text} names no bucket: a location is {scheme}://bucket/prefix")));
        }
        let prefix = ObjectPath::parse(prefix.trim_end_matches('/')).map_err(|error| refused(format!("{text}: {error}")))?;
        Ok(Self::Bucket { protocol, bucket: bucket.to_owned(), prefix })
    }
}

fn refused(why: String) -> RepoError {
    RepoError::Setting(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(text: &str) -> (Protocol, String, String) {
        match Location::parse(text) {
            Ok(Location::Bucket { protocol, bucket, prefix }) => (protocol, bucket, prefix.to_string()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn every_kind_of_place_is_told_apart() {
        assert_eq!(Location::parse("/backup/esker").unwrap(), Location::Folder("/backup/esker".into()));
        assert_eq!(Location::parse("backup").unwrap(), Location::Folder("backup".into()));
        assert_eq!(Location::parse("file:///backup/esker").unwrap(), Location::Folder("/backup/esker".into()));
        assert_eq!(bucket("s3://b"), (Protocol::S3, "b".into(), String::new()));
        assert_eq!(bucket("s3://b/"), (Protocol::S3, "b".into(), String::new()));
        assert_eq!(bucket("gs://b/one/two/"), (Protocol::Gs, "b".into(), "one/two".into()));
        assert_eq!(bucket("az://c/a b"), (Protocol::Az, "c".into(), "a b".into()));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in ["sftp://host/x", "file://x", "s3://", "s3:///x", "s3://b//x", "s3://b/../x", "s3://b?x=1"] {
            assert!(matches!(Location::parse(text), Err(RepoError::Setting(_))), "{text}");
        }
    }

    #[test]
    fn a_secret_in_a_location_is_refused_and_not_repeated() {
        for text in ["s3://AKIA:hunter2@b/x", "az://c/x?sig=hunter2"] {
            let error = Location::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
