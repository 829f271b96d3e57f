//! Azurite, Microsoft's emulator of Azure Blob Storage. It comes from npm and is there only where npm is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use object_store::azure::{AzureAccessKey, AzureAuthorizer, AzureCredential};
use object_store::client::{HttpRequest, HttpRequestBody};

use super::leash::Leash;
use super::{free_port, installed};

/// The account that every emulator has.
pub const ACCOUNT: &str = "devstoreaccount1";
/// Its key, printed in Microsoft's documentation.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Time in which it must answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running emulator. Everything of it goes with it.
pub struct Azurite {
    folder: PathBuf,
    port: u16,
    process: Leash,
}

impl Azurite {
    /// Starts one; `None`, with a loud line, where it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = installed("azurite/node_modules/.bin/azurite-blob");
        if !program.exists() {
            eprintln!("SKIPPED: az:// is not tested, for {} is missing (scripts/setup stores, with npm)", program.display());
            return None;
        }
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("esker-azurite-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let at = folder.display().to_string();
        let number = port.to_string();
        let arguments = [
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            &number,
            "--location",
            &at,
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
        ];
        let process = Leash::start(&program, &arguments.map(str::to_owned), &[], &folder.join("log"));
        let azurite = Self { folder, port, process };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || std::fs::read_to_string(azurite.folder.join("log")).unwrap_or_default();
            assert!(azurite.process.runs(), "azurite ended:\n{}", log());
            assert!(began.elapsed() < START_TIMEOUT, "azurite does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(azurite)
    }

    /// Where its account is, for the store option `endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.port)
    }

    /// Makes a container.
    pub fn make_container(&self, name: &str) {
        let uri = format!("{}/{name}?restype=container", self.endpoint());
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = "PUT".parse().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        request.headers_mut().insert("content-length", "0".parse().unwrap());
        let credential = AzureCredential::AccessKey(AzureAccessKey::try_new(KEY).unwrap());
        AzureAuthorizer::new(&credential, ACCOUNT).try_authorize(&mut request).unwrap();

        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let target = request.uri().path_and_query().unwrap();
        let mut head = format!("PUT {target} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n", self.port);
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
