//! Just enough of HTTP/1.1 for servers that tests script: one thread a connection, bodies of known length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Names in lower case, and values.
pub type Headers = Vec<(String, String)>;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET` and the like.
    pub method: String,
    /// Path and query, encoded.
    pub target: String,
    /// Its headers.
    pub headers: Headers,
    /// All of the body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The path, decoded.
    #[must_use]
    pub fn path(&self) -> String {
        decoded(self.target.split('?').next().unwrap())
    }

    /// The value of a query parameter, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| decoded(&value.replace('+', " ")))
    }

    /// Reads a request; `None` at the end of the connection.
    ///
    /// # Errors
    /// If the connection breaks off within a request.
    pub fn read(stream: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let Some((first, headers)) = read_head(stream)? else { return Ok(None) };
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Self { method, target, headers, body: Vec::new() };
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        request.body = vec![0; length];
        stream.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

/// Reads a first line and the headers after it.
pub(super) fn read_head(stream: &mut impl BufRead) -> std::io::Result<Option<(String, Headers)>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let first = line.trim_end().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some((first, headers))) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// Beside the body's length.
    pub headers: Headers,
    /// The body; a `HEAD` gets its length only.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer of this status.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With another header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Writes it as the answer to such a method.
    ///
    /// # Errors
    /// If the connection breaks off.
    pub fn write(&self, stream: &mut impl Write, method: &str) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status != 204 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if method != "HEAD" {
            stream.write_all(&self.body)?;
        }
        stream.flush()
    }
}

/// A listener on a free port of this machine that ends with its value.
pub struct Serving {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Answers every request as `answer` says.
    pub fn start(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::connections(move |stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = converse(&mut reader, &mut &stream, &answer);
        })
    }

    /// Hands every connection to `serve`, on a thread of its own.
    pub fn connections(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, serve) = (Arc::clone(&stop), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    let serve = Arc::clone(&serve);
                    std::thread::spawn(move || serve(stream));
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The thread waits for a connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers requests until the connection ends.
pub(super) fn converse(reader: &mut impl BufRead, writer: &mut impl Write, answer: &dyn Fn(Request) -> Answer) -> std::io::Result<()> {
    while let Some(request) = Request::read(reader)? {
        let method = request.method.clone();
        answer(request).write(writer, &method)?;
    }
    Ok(())
}

/// Copies so many bytes.
pub(super) fn copy_exactly(from: &mut impl Read, to: &mut impl Write, bytes: u64) -> std::io::Result<()> {
    std::io::copy(&mut from.take(bytes), to).map(|_| ())
}
