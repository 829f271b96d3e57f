//! Which credentials an S3 request is signed with, looked for in the order of Amazon's own tools.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};

use super::aws_profile::Profile;
use super::variables::Variables;
use crate::error::{RepoError, Result};

/// Characters of an access key's id that are shown.
const KEY_SHOWN: usize = 8;

/// Where credentials come from.
pub(super) enum Source {
    /// None: requests are not signed.
    Anonymous,
    /// An access key.
    Key { id: String, secret: String, token: Option<String>, from: String },
    /// A token in a file, exchanged for keys at the security token service.
    WebIdentity { file: String, role: String, session: Option<String> },
    /// The service of a container or of the machine it runs on.
    Instance,
}

impl Source {
    /// Finds the source: an option, variables, the profile, web identity, the machine.
    ///
    /// # Errors
    /// `Setting` for half a key, and for a profile that needs another program.
    pub(super) fn find(variables: &Variables, profile: &Profile, profile_asked: bool, anonymous: bool) -> Result<Self> {
        if anonymous {
            return Ok(Self::Anonymous);
        }
        let from_variables = || {
            let value = |name: &str| variables.get(name).map(str::to_owned);
            let key = (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), value("AWS_SESSION_TOKEN"));
            key_of(key, "the environment", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
        };
        let from_profile = || {
            let value = |name: &str| profile.get(name).map(str::to_owned);
            let key = (value("aws_access_key_id"), value("aws_secret_access_key"), value("aws_session_token"));
            key_of(key, &format!("profile {:?}", profile.name), ["aws_access_key_id", "aws_secret_access_key"])
        };
        // A profile that was named on the command line goes before variables.
        let found = if profile_asked { from_profile()? } else { from_variables()? };
        if let Some(found) = found {
            return Ok(found);
        }
        let setting = |variable: &str, key: &str| {
            let of_profile = profile.get(key).map(str::to_owned);
            if profile_asked { of_profile } else { variables.get(variable).map(str::to_owned).or(of_profile) }
        };
        let file = setting("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
        if let (Some(file), Some(role)) = (file, setting("AWS_ROLE_ARN", "role_arn")) {
            return Ok(Self::WebIdentity { file, role, session: setting("AWS_ROLE_SESSION_NAME", "role_session_name") });
        }
        if !profile_asked && let Some(found) = from_profile()? {
            return Ok(found);
        }
        if let Some(key) = profile.foreign_source() {
            return Err(RepoError::Setting(format!(
                "profile {:?} gets its credentials by {key}, which esker does not do: put what `aws configure export-credentials \
                 --profile {} --format env` prints into the environment",
                profile.name, profile.name
            )));
        }
        if profile_asked {
            return Err(RepoError::Setting(format!("profile {:?} holds no credentials", profile.name)));
        }
        Ok(Self::Instance)
    }

    /// Tells the builder.
    pub(super) fn apply(&self, builder: AmazonS3Builder, variables: &Variables) -> Result<AmazonS3Builder> {
        Ok(match self {
            Self::Anonymous => builder.with_skip_signature(true),
            Self::Key { id, secret, token, .. } => {
                let builder = builder.with_access_key_id(id).with_secret_access_key(secret);
                if let Some(token) = token { builder.with_token(token) } else { builder }
            }
            Self::WebIdentity { file, role, session } => {
                let mut builder =
                    builder.with_config(AmazonS3ConfigKey::WebIdentityTokenFile, file).with_config(AmazonS3ConfigKey::RoleArn, role);
                let optional = [
                    (AmazonS3ConfigKey::RoleSessionName, session.as_deref()),
                    (AmazonS3ConfigKey::StsEndpoint, variables.get("AWS_ENDPOINT_URL_STS")),
                ];
                for (key, value) in optional {
                    if let Some(value) = value {
                        builder = builder.with_config(key, value);
                    }
                }
                builder
            }
            Self::Instance => instance(builder, variables)?,
        })
    }

    /// What people call them.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Anonymous => "no credentials (anonymous)".into(),
            Self::Key { id, token, from, .. } => {
                let shown: String = id.chars().take(KEY_SHOWN).collect();
                let token = if token.is_some() { " with a session token" } else { "" };
                format!("access key {shown}… from {from}{token}")
            }
            Self::WebIdentity { file, role, .. } => format!("role {role} by the web identity token in {file}"),
            Self::Instance => "the role of this machine or container".into(),
        }
    }
}

fn key_of(key: (Option<String>, Option<String>, Option<String>), from: &str, names: [&str; 2]) -> Result<Option<Source>> {
    let [id_name, secret_name] = names;
    let half = |there: &str, missing: &str| Err(RepoError::Setting(format!("{from} has {there} but no {missing}")));
    match key {
        (Some(id), Some(secret), token) => Ok(Some(Source::Key { id, secret, token, from: from.to_owned() })),
        (Some(_), None, _) => half(id_name, secret_name),
        (None, Some(_), _) => half(secret_name, id_name),
        (None, None, _) => Ok(None),
    }
}

fn instance(mut builder: AmazonS3Builder, variables: &Variables) -> Result<AmazonS3Builder> {
    let keys = [
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", AmazonS3ConfigKey::MetadataEndpoint),
    ];
    let mut in_container = false;
    for (name, key) in keys {
        if let Some(value) = variables.get(name) {
            in_container |= name.contains("CONTAINER");
            builder = builder.with_config(key, value.trim_end_matches('/'));
        }
    }
    let disabled = variables.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if disabled && !in_container {
        return Err(RepoError::Setting(
            "no credentials for s3://: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile (AWS_PROFILE)".into(),
        ));
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pairs: &[(&str, &str)], asked: Option<&str>) -> Result<String> {
        let variables: Variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let profile = Profile::read(&variables, asked)?;
        Ok(Source::find(&variables, &profile, asked.is_some(), false)?.words())
    }

    #[test]
    fn credentials_are_looked_for_in_order() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let text = "[default]\naws_access_key_id=D\naws_secret_access_key=d\n[p]\naws_access_key_id=P\naws_secret_access_key=p\n[q]\nsso_session=x";
        std::fs::write(home.path().join(".aws/credentials"), text).unwrap();
        let home = ("HOME", home.path().to_str().unwrap());
        let key = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "e"), home];
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn"), home];
        assert_eq!(found(&key, None).unwrap(), "access key E… from the environment");
        assert_eq!(found(&key, Some("p")).unwrap(), "access key P… from profile \"p\"");
        assert_eq!(found(&web, None).unwrap(), "role arn by the web identity token in /t");
        assert_eq!(found(&[home], None).unwrap(), "access key D… from profile \"default\"");
        assert_eq!(found(&[("HOME", "/nowhere")], None).unwrap(), "the role of this machine or container");
        assert!(found(&[home], Some("q")).unwrap_err().to_string().contains("sso_session"));
    }

    #[test]
    fn half_a_key_is_refused() {
        let error = found(&[("AWS_SECRET_ACCESS_KEY", "hunter2")], None).unwrap_err().to_string();
        assert!(error.contains("AWS_ACCESS_KEY_ID") && !error.contains("hunter2"), "{error}");
    }
}
