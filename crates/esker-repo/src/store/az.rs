//! Azure Blob Storage.

use std::sync::Arc;

use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::cloud::{Building, Cloud, client_options, refused};
use crate::error::{RepoError, Result};

/// Variables with credentials, and what they are called.
const SOURCES: [(AzureConfigKey, &[&str], &str); 9] = [
    (AzureConfigKey::AccessKey, &["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCESS_KEY"], "the account's key"),
    (AzureConfigKey::SasKey, &["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"], "a shared access signature"),
    (AzureConfigKey::Token, &["AZURE_STORAGE_TOKEN"], "the token in AZURE_STORAGE_TOKEN"),
    (AzureConfigKey::FederatedTokenFile, &["AZURE_FEDERATED_TOKEN_FILE"], "a workload identity"),
    (AzureConfigKey::ClientSecret, &["AZURE_CLIENT_SECRET"], "a service principal's secret"),
    (AzureConfigKey::ClientId, &["AZURE_CLIENT_ID"], ""),
    (AzureConfigKey::AuthorityId, &["AZURE_TENANT_ID"], ""),
    (AzureConfigKey::AuthorityHost, &["AZURE_AUTHORITY_HOST"], ""),
    (AzureConfigKey::MsiEndpoint, &["IDENTITY_ENDPOINT"], ""),
];

pub(super) fn open(building: Building<'_>) -> Result<Cloud> {
    let Building { bucket, options, variables, wire, retry } = building;
    let endpoint = options.endpoint.clone().or_else(|| variables.get("AZURE_STORAGE_ENDPOINT").map(str::to_owned));
    let client = client_options(options, endpoint.as_deref())?;
    let account = options.account.as_deref().or_else(|| variables.first(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]));
    let account = account.ok_or_else(|| {
        RepoError::Setting("az:// needs the storage account: the store option account, or AZURE_STORAGE_ACCOUNT_NAME".into())
    })?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(bucket)
        .with_client_options(client)
        .with_retry(retry)
        .with_http_connector(wire);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let mut credentials = "the managed identity of this machine";
    if options.anonymous == Some(true) {
        builder = builder.with_skip_signature(true);
        credentials = "no credentials (anonymous)";
    } else {
        for (key, names, words) in SOURCES.into_iter().rev() {
            if let Some(value) = variables.first(names) {
                builder = builder.with_config(key, value);
                if !words.is_empty() {
                    credentials = words;
                }
            }
        }
    }
    let store = builder.build().map_err(|error| refused(&error))?;
    // Containers are known within their account.
    let place = endpoint.unwrap_or_else(|| format!("account {account}"));
    Ok(Cloud { store: Arc::new(store), endpoint: Some(place), credentials: format!("{credentials}, account {account}"), classes: None })
}
