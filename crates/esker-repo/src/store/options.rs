//! What a store needs to be told beside its location. Secrets are none of it: those come from the environment or from files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{RepoError, Result};

/// Options of an object store; what is left out has a default, or comes from the usual environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreOptions {
    /// URL of the service, if it is not the provider's own.
    pub endpoint: Option<String>,
    /// Region of an S3 bucket.
    pub region: Option<String>,
    /// Whether an S3 bucket stands in the URL's path (the default where an endpoint is given) or in its host name.
    pub path_style: Option<bool>,
    /// Section of the AWS credentials and config files.
    pub profile: Option<String>,
    /// Storage account of an Azure container.
    pub account: Option<String>,
    /// Send requests without credentials.
    pub anonymous: Option<bool>,
    /// File with certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// URL of the proxy for all requests; without it `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` decide.
    pub proxy: Option<String>,
    /// Allow `http://` to a host that is not this one.
    pub allow_http: Option<bool>,
    /// Let S3 encrypt objects with this key of its key management service.
    pub sse_kms_key_id: Option<String>,
    /// S3's storage class for new data packs; all else stays in the bucket's own.
    pub storage_class: Option<String>,
    /// Requests at once, at most.
    pub connections: Option<u16>,
    /// Seconds without a byte in either direction after which a request is begun again.
    pub stall_seconds: Option<u32>,
    /// Seconds for which failed requests are tried again.
    pub retry_seconds: Option<u32>,
}

/// Every option, in the order of the struct.
pub const OPTION_NAMES: [&str; 14] = [
    "endpoint",
    "region",
    "path_style",
    "profile",
    "account",
    "anonymous",
    "ca_file",
    "proxy",
    "allow_http",
    "sse_kms_key_id",
    "storage_class",
    "connections",
    "stall_seconds",
    "retry_seconds",
];

impl StoreOptions {
    /// Reads options written as `KEY=VALUE`; the last of a key counts.
    ///
    /// # Errors
    /// `Setting` for an unknown key or a value that does not fit.
    pub fn parse<S: AsRef<str>>(pairs: &[S]) -> Result<Self> {
        let mut options = Self::default();
        for pair in pairs {
            let Some((key, value)) = pair.as_ref().split_once('=') else {
                return Err(RepoError::Setting(format!("store option {:?} is not KEY=VALUE", pair.as_ref())));
            };
            options.set(key.trim(), value.trim())?;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let text = Some(value.to_owned());
        match key {
            "endpoint" => self.endpoint = Some(without_secret(key, value)?),
            "region" => self.region = text,
            "path_style" => self.path_style = Some(parsed(key, value)?),
            "profile" => self.profile = text,
            "account" => self.account = text,
            "anonymous" => self.anonymous = Some(parsed(key, value)?),
            "ca_file" => self.ca_file = Some(PathBuf::from(value)),
            "proxy" => self.proxy = Some(without_secret(key, value)?),
            "allow_http" => self.allow_http = Some(parsed(key, value)?),
            "sse_kms_key_id" => self.sse_kms_key_id = text,
            "storage_class" => self.storage_class = text,
            "connections" => self.connections = Some(at_least_one(key, value)?),
            "stall_seconds" => self.stall_seconds = Some(at_least_one(key, value)?),
            "retry_seconds" => self.retry_seconds = Some(parsed(key, value)?),
            _ => {
                let known = OPTION_NAMES.join(", ");
                return Err(RepoError::Setting(format!("there is no store option {key:?}; there are {known}")));
            }
        }
        Ok(())
    }
}

fn parsed<T: std::str::FromStr>(key: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| RepoError::Setting(format!("store option {key}={value}: {value:?} is no {}", expected::<T>())))
}

fn at_least_one<T: std::str::FromStr + PartialEq + From<u8>>(key: &str, value: &str) -> Result<T> {
    let number = parsed(key, value)?;
    if number == T::from(0) { Err(RepoError::Setting(format!("store option {key} must be at least 1"))) } else { Ok(number) }
}

fn expected<T>() -> &'static str {
    if std::any::type_name::<T>() == "bool" { "true or false" } else { "number in range" }
}

/// Arguments are seen by every process of a machine: a URL in one must hold no password.
fn without_secret(key: &str, value: &str) -> Result<String> {
    if value.contains('@') {
        let instead = if key == "proxy" { "put it into HTTPS_PROXY" } else { "credentials come from the environment or a profile" };
        return Err(RepoError::Setting(format!("store option {key} may not hold a user or password: {instead}")));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_can_be_given_as_text_and_in_a_file() {
        let text = ["true", "1"];
        for name in OPTION_NAMES {
            let given = text.iter().find_map(|value| StoreOptions::parse(&[format!("{name}={value}")]).ok());
            let given = given.unwrap_or_else(|| panic!("{name}"));
            assert_ne!(given, StoreOptions::default(), "{name}");
            let json = serde_json::to_string(&given).unwrap();
            assert_eq!(serde_json::from_str::<StoreOptions>(&json).unwrap(), given, "{name}");
        }
        let all = serde_json::to_value(StoreOptions::default()).unwrap();
        assert_eq!(all.as_object().unwrap().len(), OPTION_NAMES.len());
    }

    #[test]
    fn unknown_and_unfit_options_are_refused() {
        for pair in ["secret_access_key=x", "region", "path_style=maybe", "connections=0", "stall_seconds=-1"] {
            assert!(matches!(StoreOptions::parse(&[pair]), Err(RepoError::Setting(_))), "{pair}");
        }
        assert!(serde_json::from_str::<StoreOptions>(r#"{"bucket":"x"}"#).is_err());
    }

    #[test]
    fn a_password_in_a_proxy_is_refused_and_not_repeated() {
        let error = StoreOptions::parse(&["proxy=http://me:hunter2@proxy:3128"]).unwrap_err().to_string();
        assert!(error.contains("HTTPS_PROXY") && !error.contains("hunter2"), "{error}");
    }
}
