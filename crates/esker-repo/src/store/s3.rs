//! S3: Amazon's and that of others.

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::client::HttpConnector;

use super::aws_credentials::Source;
use super::aws_profile::Profile;
use super::classes::Classes;
use super::cloud::{Building, Cloud, client_options, refused};
use crate::error::Result;

/// The region of stores that have none of their own.
const NO_REGION: &str = "us-east-1";

pub(super) fn open(building: Building<'_>) -> Result<Cloud> {
    let Building { bucket, options, variables, wire, retry } = building;
    let asked = options.profile.as_deref();
    let profile = Profile::read(variables, asked.or_else(|| variables.get("AWS_PROFILE")))?;
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let endpoint = options.endpoint.clone();
    let endpoint = endpoint.or_else(|| owned(variables.first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])));
    let endpoint = endpoint.or_else(|| owned(profile.get("endpoint_url")));
    let region = options.region.clone();
    let region = region.or_else(|| owned(variables.first(&["AWS_REGION", "AWS_DEFAULT_REGION"])));
    let region = region.or_else(|| owned(profile.get("region"))).unwrap_or_else(|| NO_REGION.into());
    // A bucket with a dot in its name fits no certificate as a host name.
    let path_style = options.path_style.unwrap_or(endpoint.is_some() || bucket.contains('.'));

    let client = client_options(options, endpoint.as_deref())?;
    let classes_client = wire.connect(&client).map_err(|error| refused(&error))?;
    let source = Source::find(variables, &profile, asked.is_some(), options.anonymous == Some(true))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&region)
        .with_virtual_hosted_style_request(!path_style)
        .with_client_options(client)
        .with_retry(retry)
        // One request for each object is what every S3 understands.
        .with_disable_bulk_delete(true)
        .with_http_connector(wire);
    if let Some(endpoint) = &endpoint {
        builder = builder.with_endpoint(if path_style { endpoint.clone() } else { with_bucket(endpoint, bucket) });
    }
    if let Some(key) = &options.sse_kms_key_id {
        builder = builder.with_sse_kms_encryption(key);
    }
    let store = Arc::new(source.apply(builder, variables)?.build().map_err(|error| refused(&error))?);
    let classes = Classes::new(Arc::clone(&store), classes_client);
    Ok(Cloud { store, endpoint, credentials: source.words(), classes: Some(classes) })
}

/// The endpoint whose host name begins with the bucket.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_goes_before_the_host() {
        assert_eq!(with_bucket("https://s3.example.org:9000", "b"), "https://b.s3.example.org:9000");
    }
}
