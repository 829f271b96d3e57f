//! Where a repository is that stands in no folder, as the tools' environments say it.

use std::process::Command;

use esker_testkit::server::garage::{BUCKET, KEY_ID, REGION, SECRET};

/// A prefix of a bucket of Garage, reached over some port of this machine.
#[derive(Debug, Clone)]
pub struct Bucket {
    endpoint: String,
    prefix: String,
}

impl Bucket {
    /// This prefix of the bucket that every node of Garage has, over the port of a link to it.
    pub fn behind(port: u16, prefix: &str) -> Self {
        Self { endpoint: format!("http://127.0.0.1:{port}"), prefix: prefix.to_owned() }
    }

    /// Its name as Esker and others call it.
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/{}", self.prefix)
    }

    /// Tells a command how to get there: esker by Amazon's variables, rustic by those of opendal.
    pub fn tell(&self, command: &mut Command) {
        command.envs([("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)]);
        command.env("AWS_ENDPOINT_URL", &self.endpoint);
        command.envs([("OPENDAL_REGION", REGION), ("OPENDAL_ACCESS_KEY_ID", KEY_ID), ("OPENDAL_SECRET_ACCESS_KEY", SECRET)]);
        command.env("OPENDAL_ENDPOINT", &self.endpoint).env("OPENDAL_BUCKET", BUCKET);
        command.env("OPENDAL_ROOT", format!("/{}", self.prefix));
    }
}
