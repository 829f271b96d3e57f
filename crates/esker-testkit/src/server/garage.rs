//! Garage, an S3 server, as a cluster of one node with one key and one bucket.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::leash::Leash;
use super::{free_port, installed};

/// The bucket that stands from the start.
pub const BUCKET: &str = "esker";
/// The region in which it says it is.
pub const REGION: &str = "garage";
/// The key that may do all in the bucket; it is worth nothing elsewhere.
pub const KEY_ID: &str = "GK31c2f218a2e44f485b94239e";
/// The key's secret.
pub const SECRET: &str = "b892c0665f0ada8a4755dae98baa3b133590e11dae3bcc1f9d769d67f16c3835";
/// Time in which it must answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// One running node. Everything of it goes with it.
pub struct Garage {
    folder: PathBuf,
    port: u16,
    process: Mutex<Leash>,
}

impl Garage {
    /// The node that all tests of this process share, started if none runs.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Garage>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// A node of its own.
    #[must_use]
    pub fn start() -> Self {
        let [port, rpc, admin] = [free_port(), free_port(), free_port()];
        let folder = std::env::temp_dir().join(format!("esker-garage-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = folder.display();
        let config = format!(
            "metadata_dir = \"{at}/meta\"\ndata_dir = \"{at}/data\"\ndb_engine = \"lmdb\"\nlmdb_map_size = \"1G\"\nreplication_factor = 1\n\
             metadata_fsync = false\ndata_fsync = false\ndisable_scrub = true\ncompression_level = \"none\"\nrpc_bind_addr = \"127.0.0.1:{rpc}\"\n\
             rpc_public_addr = \"127.0.0.1:{rpc}\"\nrpc_secret = \"{SECRET}\"\n[s3_api]\ns3_region = \"{REGION}\"\n\
             api_bind_addr = \"127.0.0.1:{port}\"\n[admin]\napi_bind_addr = \"127.0.0.1:{admin}\"\n"
        );
        std::fs::write(folder.join("garage.toml"), config).unwrap();
        let process = Mutex::new(launch(&folder));
        let garage = Self { folder, port, process };
        garage.wait_until_it_answers();
        garage
    }

    /// Where it listens, for the store option `endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The variables with which a client reaches it.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Ends it as a power cut would.
    pub fn kill(&self) {
        self.process.lock().unwrap().kill();
    }

    /// Starts it again on what it had stored.
    pub fn restart(&self) {
        *self.process.lock().unwrap() = launch(&self.folder);
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        let began = Instant::now();
        while !self.is_ready() {
            let log = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(self.process.lock().unwrap().runs(), "garage ended:\n{}", log());
            assert!(began.elapsed() < START_TIMEOUT, "garage does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the listener is there: it comes last, after layout, key and bucket.
    fn is_ready(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(folder: &Path) -> Leash {
    let program = installed("bin/garage");
    assert!(program.exists(), "{} is missing: scripts/setup stores installs it", program.display());
    let config = folder.join("garage.toml").display().to_string();
    let arguments = ["-c", &config, "server", "--single-node", "--default-bucket"].map(str::to_owned);
    let variables = [
        ("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID.to_owned()),
        ("GARAGE_DEFAULT_SECRET_KEY", SECRET.to_owned()),
        ("GARAGE_DEFAULT_BUCKET", BUCKET.to_owned()),
        ("RUST_LOG", "garage=warn".to_owned()),
    ];
    Leash::start(&program, &arguments, &variables, &folder.join("log"))
}
