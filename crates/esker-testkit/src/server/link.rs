//! A link of a certain bandwidth to a server: what all connections send together, and what they receive together, are held
//! to so many bytes a second. Bytes are carried as they come; those of HTTP/1.1 requests are counted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::http::Serving;

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 64 << 10;
/// Time that a link which was idle may make up for: its burst.
const BURST: Duration = Duration::from_millis(2);

/// With what a request begins. A client waits for an answer before it sends the next one, so each begins a piece; that a
/// piece of a body begins so by chance happens once in billions.
const METHODS: [&[u8]; 5] = [b"GET /", b"PUT /", b"HEAD /", b"POST /", b"DELETE /"];

/// What a link has carried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Bytes to the server.
    pub up_bytes: u64,
    /// Bytes from the server.
    pub down_bytes: u64,
    /// HTTP requests.
    pub requests: u64,
}

/// A running link.
pub struct Link {
    serving: Serving,
    ways: [Arc<Way>; 2],
}

impl Link {
    /// A link to a port of this machine that carries so many bytes a second each way.
    #[must_use]
    pub fn to(port: u16, bytes_per_second: u64) -> Self {
        let ways = [(); 2].map(|()| Arc::new(Way::new(bytes_per_second)));
        let [up, down] = ways.clone();
        let serving = Serving::connections(move |client| {
            // Who goes away is no failure.
            let _ = join(&client, port, &up, &down);
        });
        Self { serving, ways }
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.serving.port()
    }

    /// What it has carried so far.
    #[must_use]
    pub fn carried(&self) -> Carried {
        let [up, down] = &self.ways;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Carried { up_bytes: load(&up.bytes), down_bytes: load(&down.bytes), requests: load(&up.requests) }
    }
}

/// One direction.
struct Way {
    bytes_per_second: f64,
    /// When it has carried all that it was given.
    free_at: Mutex<Instant>,
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Way {
    fn new(bytes_per_second: u64) -> Self {
        let free_at = Mutex::new(Instant::now());
        Self { bytes_per_second: bytes_per_second as f64, free_at, bytes: AtomicU64::new(0), requests: AtomicU64::new(0) }
    }

    /// Waits until these bytes, too, are through.
    fn carry(&self, piece: &[u8]) {
        let takes = Duration::from_secs_f64(piece.len() as f64 / self.bytes_per_second);
        let through = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            *free_at = (*free_at).max(earliest) + takes;
            *free_at
        };
        self.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        self.requests.fetch_add(u64::from(METHODS.iter().any(|method| piece.starts_with(method))), Ordering::Relaxed);
        std::thread::sleep(through.saturating_duration_since(Instant::now()));
    }
}

/// Carries a connection both ways until both are at their ends.
fn join(client: &TcpStream, port: u16, up: &Way, down: &Way) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", port))?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| pump(client, &server, up));
        pump(&server, client, down);
    });
    Ok(())
}

/// Carries one direction to its end, and tells the other side of it.
fn pump(mut from: &TcpStream, mut to: &TcpStream, way: &Way) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut piece) {
        way.carry(&piece[..bytes]);
        if to.write_all(&piece[..bytes]).is_err() {
            // Nobody reads any more: the sender should hear of it.
            let _ = from.shutdown(Shutdown::Read);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_get_what_the_link_carries() {
        const BYTES: usize = 1 << 20;
        let server = Serving::connections(|mut stream| {
            let mut bytes = vec![0; BYTES];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        let link = Link::to(server.port(), 4 * BYTES as u64);
        let began = Instant::now();
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let port = link.port();
                std::thread::spawn(move || {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    stream.write_all(&vec![number; BYTES]).unwrap();
                    let mut back = Vec::new();
                    stream.read_to_end(&mut back).unwrap();
                    assert_eq!(back, vec![number; BYTES]);
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        // Four times a quarter of a second each way, the ways partly at once.
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1_000), "{took:?}");
        assert_eq!(link.carried(), Carried { up_bytes: 4 * BYTES as u64, down_bytes: 4 * BYTES as u64, requests: 0 });
    }
}
