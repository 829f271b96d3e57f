//! Bodies that show whether bytes still move: a slow line is waited for, a dead one is not.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpErrorKind, HttpRequestBody};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::fault::WireFault;

/// Bytes that are handed to the connection at once. It takes them when it has room, so this is how fine progress is seen.
const PIECE_BYTES: usize = 64 << 10;
/// Bytes that the system may hold back of what it took, and how slow a line may be to send them: they move unseen.
const UNSEEN_BYTES_MAX: u64 = 4 << 20;
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;

/// When bytes last moved.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    last_ms: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), last_ms: AtomicU64::new(0), sent_bytes: AtomicU64::new(0) })
    }

    fn touch(&self) {
        self.last_ms.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns once nothing has moved for so long, and as long again as what was sent may take on a slow line.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            let unseen = self.sent_bytes.load(Ordering::Relaxed).min(UNSEEN_BYTES_MAX);
            let limit = limit + Duration::from_secs(unseen / SLOWEST_BYTES_PER_SECOND);
            let due = self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + limit;
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// A request's body, handed out in pieces.
pub(super) struct Upload {
    body: HttpRequestBody,
    rest: Bytes,
    progress: Arc<Progress>,
}

impl Upload {
    pub(super) fn new(body: HttpRequestBody, progress: Arc<Progress>) -> Self {
        Self { body, rest: Bytes::new(), progress }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.progress.touch();
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                other => return Poll::Ready(other),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        self.progress.sent_bytes.fetch_add(piece as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.body.size_hint().exact().unwrap_or_default() + self.rest.len() as u64;
        SizeHint::with_exact(left)
    }
}

/// A response's body. It holds its request's place among those at once until it is read or has failed: whoever asks for the
/// rest again needs a place, too.
pub(super) struct Download {
    body: Pin<Box<reqwest::Body>>,
    stall: Duration,
    /// Runs while the next bytes are waited for.
    timer: Option<Pin<Box<Sleep>>>,
    place: Option<OwnedSemaphorePermit>,
}

impl Download {
    pub(super) fn new(body: reqwest::Body, stall: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { body: Box::pin(body), stall, timer: None, place: Some(place) }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = self.body.as_mut().poll_frame(context) {
            self.timer = None;
            if !matches!(frame, Some(Ok(_))) {
                self.place = None;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| WireFault::of(error).into())));
        }
        let stall = self.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(timer.as_mut().poll(context));
        self.place = None;
        Poll::Ready(Some(Err(HttpError::new(HttpErrorKind::Timeout, WireFault::stalled(stall)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
