//! Google Cloud Storage.

use std::sync::Arc;

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

use super::cloud::{Building, Cloud, client_options, refused};
use crate::error::Result;

pub(super) fn open(building: Building<'_>) -> Result<Cloud> {
    let Building { bucket, options, variables, wire, retry } = building;
    let client = client_options(options, options.endpoint.as_deref())?;
    let mut builder =
        GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_client_options(client).with_retry(retry).with_http_connector(wire);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint.trim_end_matches('/'));
    }
    let sources = [
        (GoogleConfigKey::BearerToken, "GOOGLE_BEARER_TOKEN", "the token in GOOGLE_BEARER_TOKEN"),
        (GoogleConfigKey::ServiceAccountKey, "GOOGLE_SERVICE_ACCOUNT_KEY", "the service account in GOOGLE_SERVICE_ACCOUNT_KEY"),
        (GoogleConfigKey::ServiceAccount, "GOOGLE_SERVICE_ACCOUNT", "the service account in the file of GOOGLE_SERVICE_ACCOUNT"),
        (
            GoogleConfigKey::ApplicationCredentials,
            "GOOGLE_APPLICATION_CREDENTIALS",
            "the credentials in the file of GOOGLE_APPLICATION_CREDENTIALS",
        ),
    ];
    let given = sources.into_iter().find_map(|(key, name, words)| Some((key, variables.get(name)?, words)));
    let credentials = match given {
        _ if options.anonymous == Some(true) => {
            // With any token `object_store` looks for no other credentials, and it sends none.
            builder = builder.with_bearer_token("").with_skip_signature(true);
            "no credentials (anonymous)"
        }
        Some((key, value, words)) => {
            builder = builder.with_config(key, value);
            words
        }
        None => "the application default credentials, or the service account of this machine",
    };
    let store = builder.build().map_err(|error| refused(&error))?;
    Ok(Cloud { store: Arc::new(store), endpoint: options.endpoint.clone(), credentials: credentials.to_owned(), classes: None })
}
