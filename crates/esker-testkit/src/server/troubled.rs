//! A line with troubles to an HTTP server: it delays, throttles, breaks off, and answers for the server. One request a
//! connection, so that a fault hits one request.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::http::{Answer, Request, Serving, copy_exactly, read_head};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing comes of it: the connection is closed before the server hears of it.
    Refuse,
    /// The server does it, and the answer is lost.
    LoseAnswer,
    /// The answer breaks off after so many bytes of its body.
    BreakOff(u64),
    /// The answer stands still after so many bytes of its body, until the client gives up.
    Stall(u64),
    /// Answered with this status, and an error of this code, without asking the server.
    Answer(u16, &'static str),
}

type Choose = Box<dyn FnMut(u64, &Request) -> Option<Trouble> + Send>;

#[derive(Default)]
struct State {
    requests: u64,
    choose: Option<Choose>,
    delay: Duration,
    bytes_per_second: Option<u64>,
    is_down: bool,
}

/// A running line.
pub struct TroubledLine {
    state: Arc<Mutex<State>>,
    serving: Serving,
}

impl TroubledLine {
    /// A line without troubles to a port of this machine.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        // A client that goes away is no failure of the test.
        let serving = Serving::connections(move |stream| {
            let _ = carry(&stream, port, &shared);
            let _ = stream.shutdown(Shutdown::Both);
        });
        Self { state, serving }
    }

    /// Where it listens, for the store option `endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.serving.url()
    }

    /// Chooses from now on what happens to a request, by its number from 1 and what it asks for.
    pub fn choose(&self, choose: impl FnMut(u64, &Request) -> Option<Trouble> + Send + 'static) {
        let mut state = self.state();
        state.requests = 0;
        state.choose = Some(Box::new(choose));
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        *self.state() = State::default();
    }

    /// Each request waits so long.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Each connection carries so many bytes a second, either way.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.state().bytes_per_second = Some(bytes_per_second);
    }

    /// Whether connections are closed at once.
    pub fn down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Requests since the last `choose`.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn carry(stream: &TcpStream, port: u16, state: &Mutex<State>) -> std::io::Result<()> {
    let (is_down, delay, rate) = {
        let state = state.lock().unwrap();
        (state.is_down, state.delay, state.bytes_per_second)
    };
    if is_down {
        return Ok(());
    }
    let Some(request) = Request::read(&mut BufReader::new(Throttled { stream, rate }))? else { return Ok(()) };
    let trouble = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        let number = state.requests;
        state.choose.as_mut().and_then(|choose| choose(number, &request))
    };
    std::thread::sleep(delay);
    match trouble {
        Some(Trouble::Refuse) => return Ok(()),
        Some(Trouble::Answer(status, code)) => {
            let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>the line says so</Message></Error>");
            return Answer::new(status, body).with("connection", "close").write(&mut &*stream, &request.method);
        }
        _ => {}
    }
    let server = TcpStream::connect(("127.0.0.1", port))?;
    send(&request, &mut &server)?;
    let mut reader = BufReader::new(&server);
    let Some((first, headers)) = read_head(&mut reader)? else { return Ok(()) };
    if trouble == Some(Trouble::LoseAnswer) {
        return Ok(());
    }
    let mut client = Throttled { stream, rate };
    write!(client, "{first}\r\nconnection: close\r\n")?;
    for (name, value) in headers.iter().filter(|(name, _)| name != "connection") {
        write!(client, "{name}: {value}\r\n")?;
    }
    client.write_all(b"\r\n")?;
    if request.method == "HEAD" || first.contains(" 204 ") || first.contains(" 304 ") {
        return Ok(());
    }
    match trouble {
        Some(Trouble::BreakOff(bytes)) => copy_exactly(&mut reader, &mut client, bytes),
        Some(Trouble::Stall(bytes)) => {
            copy_exactly(&mut reader, &mut client, bytes)?;
            // Returns when the client has closed its side.
            let mut stream = stream;
            stream.read(&mut [0; 1]).map(|_| ())
        }
        _ => std::io::copy(&mut reader, &mut client).map(|_| ()),
    }
}

fn send(request: &Request, server: &mut impl Write) -> std::io::Result<()> {
    write!(server, "{} {} HTTP/1.1\r\n", request.method, request.target)?;
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "connection") {
        write!(server, "{name}: {value}\r\n")?;
    }
    server.write_all(b"connection: close\r\n\r\n")?;
    server.write_all(&request.body)?;
    server.flush()
}

/// A connection that carries no more than so many bytes a second.
struct Throttled<'a> {
    stream: &'a TcpStream,
    rate: Option<u64>,
}

impl Throttled<'_> {
    /// Bytes of one piece: a twentieth of a second's.
    fn piece(&self, wanted: usize) -> usize {
        self.rate.map_or(wanted, |rate| wanted.min((rate / 20).max(1) as usize))
    }

    fn pace(&self, bytes: usize) {
        if let Some(rate) = self.rate {
            std::thread::sleep(Duration::from_secs_f64(bytes as f64 / rate as f64));
        }
    }
}

impl Read for Throttled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let piece = self.piece(buffer.len());
        let bytes = self.stream.read(&mut buffer[..piece])?;
        self.pace(bytes);
        Ok(bytes)
    }
}

impl Write for Throttled<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let bytes = self.stream.write(&buffer[..self.piece(buffer.len())])?;
        self.pace(bytes);
        Ok(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}
