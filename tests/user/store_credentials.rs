//! Where credentials for S3 come from, and what is said when they do not do.

use std::fs;
use std::time::Instant;

use esker_testkit::server::bucket::{Bucket, BucketRules};
use esker_testkit::server::garage::{BUCKET, Garage, KEY_ID, SECRET};
use esker_testkit::server::http::{Answer, Request, Serving};
use esker_testkit::server::tls::PrivateTls;

use crate::kit::Esker;

/// Keys as Amazon's services hand them out.
const HANDED_OUT: &str =
    r#"{"Code":"Success","AccessKeyId":"ROLE","SecretAccessKey":"role-secret","Token":"role-token","Expiration":"2199-01-01T00:00:00Z"}"#;

fn without(variables: Vec<(String, String)>, prefix: &str) -> Vec<(String, String)> {
    variables.into_iter().filter(|(name, _)| !name.starts_with(prefix)).collect()
}

/// A bucket that only takes requests signed with the key of this id.
fn bucket_for(id: &str) -> Bucket {
    Bucket::start(BucketRules { authorization: format!("AWS4-HMAC-SHA256 Credential={id}/"), ..BucketRules::default() })
}

/// A user of it without any credentials.
fn nobody(bucket: &Bucket) -> Esker {
    let mut esker = Esker::in_store("s3://b/x", vec![("AWS_ENDPOINT_URL".into(), bucket.endpoint())]);
    esker.keep_secret("role-secret");
    esker.keep_secret("role-token");
    esker
}

#[test]
fn a_profile_tells_key_region_and_endpoint() {
    let garage = Garage::shared();
    let mut esker = Esker::in_store(&format!("s3://{BUCKET}/profile"), Vec::new());
    esker.keep_secret(SECRET);
    fs::create_dir(esker.path(".aws")).unwrap();
    fs::write(esker.path(".aws/credentials"), format!("[prod]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n")).unwrap();
    let config = format!("[profile prod]\nregion = garage\nendpoint_url = {}\n[profile sso]\nsso_session = x\n", garage.endpoint());
    fs::write(esker.path(".aws/config"), config).unwrap();
    esker.options = vec!["profile=prod".into()];
    esker.run(&["init"]).exits(0);
    esker.options.clear();
    esker.variables = vec![("AWS_PROFILE".into(), "prod".into())];
    assert_eq!(esker.labels(), Vec::<String>::new());
    esker.options = vec!["profile=sso".into()];
    esker.run(&["list"]).exits(2).says("sso_session").says("export-credentials");
    esker.options = vec!["profile=none".into()];
    esker.run(&["list"]).exits(2).says("there is no profile \"none\"");
}

#[test]
fn wrong_credentials_end_at_once_and_are_named() {
    let garage = Garage::shared();
    let location = format!("s3://{BUCKET}/wrong");
    let began = Instant::now();
    let mut variables = garage.variables();
    variables[3].1 = "0".repeat(64);
    Esker::in_store(&location, variables).run(&["init"]).exits(1).says("403").says("access key GK31c2f2… from the environment");
    let mut variables = garage.variables();
    variables[2].1 = "GK000000000000000000000000".into();
    Esker::in_store(&location, variables).run(&["init"]).exits(1).says("403").says("access key GK000000…");
    let none = without(without(garage.variables(), "AWS_ACCESS"), "AWS_SECRET");
    Esker::in_store(&location, none).run(&["init"]).exits(2).says("no credentials for s3://").says("AWS_ACCESS_KEY_ID");
    let half = without(garage.variables(), "AWS_ACCESS");
    Esker::in_store(&location, half).run(&["init"]).exits(2).says("has AWS_SECRET_ACCESS_KEY but no AWS_ACCESS_KEY_ID");
    assert!(began.elapsed().as_secs() < 20, "a refusal is final");
}

#[test]
fn a_session_token_is_sent_along() {
    let bucket = bucket_for("KEY");
    let serving = Serving::start(move |request| match request.header("x-amz-security-token") {
        Some("session-token") => bucket.answer(&request),
        _ => Answer::new(400, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"),
    });
    let variables = |token: &str| {
        let pairs = [
            ("AWS_ENDPOINT_URL", serving.url()),
            ("AWS_ACCESS_KEY_ID", "KEY".into()),
            ("AWS_SECRET_ACCESS_KEY", "secret-key".into()),
            ("AWS_SESSION_TOKEN", token.into()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    };
    Esker::in_store("s3://b/x", variables("session-token")).run(&["init"]).exits(0);
    let late = Esker::in_store("s3://b/x", variables("older-token"));
    late.run(&["list"]).exits(1).says("ExpiredToken").says("with a session token").says("get a new one");
}

#[test]
fn the_role_of_a_machine_is_asked_for() {
    let bucket = bucket_for("ROLE");
    let metadata = Serving::start(|request: Request| match (request.method.as_str(), request.path().as_str()) {
        ("PUT", "/latest/api/token") => Answer::new(200, "metadata-token"),
        (_, path) if request.header("x-aws-ec2-metadata-token") == Some("metadata-token") => match path {
            "/latest/meta-data/iam/security-credentials/" => Answer::new(200, "backup-role"),
            "/latest/meta-data/iam/security-credentials/backup-role" => Answer::new(200, HANDED_OUT),
            _ => Answer::new(404, ""),
        },
        _ => Answer::new(401, ""),
    });
    let mut esker = nobody(&bucket);
    esker.variables.push(("AWS_EC2_METADATA_DISABLED".into(), "false".into()));
    esker.variables.push(("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), metadata.url()));
    esker.run(&["init"]).exits(0);
    drop(metadata);
    let began = Instant::now();
    esker.run(&["list"]).exits(1).says("there are no credentials");
    assert!(began.elapsed().as_secs() < 20, "a metadata service that is not there is not waited for");
}

#[test]
fn a_web_identity_is_exchanged_for_keys() {
    let bucket = bucket_for("ROLE");
    let sts = PrivateTls::start(|request| {
        let asked = |name: &str| request.query(name).unwrap_or_default();
        if asked("WebIdentityToken") != "identity" || asked("RoleArn") != "arn:aws:iam::1:role/backup" {
            return Answer::new(403, "<Error><Code>AccessDenied</Code></Error>");
        }
        let credentials = "<AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>role-secret</SecretAccessKey>\
                           <SessionToken>role-token</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration>";
        Answer::new(
            200,
            format!(
                "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>{credentials}</Credentials>\
                 </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
            ),
        )
    });
    let mut esker = nobody(&bucket);
    let (token, authority) = (esker.path("token"), esker.path("authority.pem"));
    fs::write(&token, "identity").unwrap();
    sts.write_authority(&authority);
    let pairs = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/backup".into()),
        ("AWS_ENDPOINT_URL_STS", sts.url()),
        ("AWS_CA_BUNDLE", authority.display().to_string()),
    ];
    esker.variables.extend(pairs.map(|(name, value)| (name.to_owned(), value)));
    esker.run(&["init"]).exits(0);
}
