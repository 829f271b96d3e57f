//! A listener with a certificate of its own authority, in front of a plain server of this machine.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::{Answer, Request, Serving};

/// A running listener for `https://localhost`.
pub struct PrivateTls {
    serving: Serving,
    authority: String,
}

impl PrivateTls {
    /// Answers every request as `answer` says.
    pub fn start(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap());
        let serving = Serving::connections(move |stream| {
            // A client that does not trust the certificate goes away.
            let _ = serve(stream, &config, &answer);
        });
        Self { serving, authority: authority.pem() }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.serving.port())
    }

    /// Writes the authority's certificate to a file.
    pub fn write_authority(&self, path: &Path) {
        std::fs::File::create(path).unwrap().write_all(self.authority.as_bytes()).unwrap();
    }
}

fn serve(stream: TcpStream, config: &Arc<ServerConfig>, answer: &dyn Fn(Request) -> Answer) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    // Reader and writer are one value here: requests are answered one by one.
    while let Some(request) = Request::read(&mut stream)? {
        let method = request.method.clone();
        answer(request).write(stream.get_mut(), &method)?;
    }
    Ok(())
}
