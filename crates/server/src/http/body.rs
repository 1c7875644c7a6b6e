//! The body of a request: how much of it is in memory, and how long it may take.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};

use super::api::{Api, BODY_UNIT};
use super::problem::Problem;

/// Without a byte for so long, the client is taken for gone.
const IDLE: Duration = Duration::from_secs(15);
/// What a body may take beyond the longest audio: it may be sent as fast as it is spoken.
const BEYOND_AUDIO: Duration = Duration::from_secs(60);
/// A part's head and what is between parts has no more; what is buffered for it is searched with each piece that comes.
const MOST_UNPARSED: usize = 256 << 10;
/// How long what is left of a refused body is read, so that its client gets to read why.
const DISCARD_PATIENCE: Duration = Duration::from_secs(5);

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// More than is allowed.
    #[error("the body is longer than {limit} bytes; send a shorter file, or raise --http-max-body")]
    TooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// Other bodies fill the memory.
    #[error("the server is busy: other uploads fill its memory; try again in a few seconds")]
    Full,
    /// It stopped coming, or came in drops.
    #[error("the body did not arrive in time")]
    Slow,
    /// The connection broke.
    #[error("the connection ended before the body did")]
    Gone,
    /// No part begins where one should.
    #[error("the head of a part of the form is longer than {MOST_UNPARSED} bytes")]
    LongHead,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-long", message)
            }
            BodyError::Full => Self::busy("overloaded", message),
            BodyError::Slow => Self::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", message),
            BodyError::Gone | BodyError::LongHead => {
                Self::new(StatusCode::BAD_REQUEST, "bad-form", message)
            }
        }
    }
}

/// What one body holds in memory; given back when the last handle is dropped.
#[derive(Clone, Debug)]
pub(super) struct Held(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    bytes: usize,
    limit: usize,
    unparsed: usize,
    free: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    pub(super) fn new(api: &Api) -> Self {
        Self::within(api.settings.max_body, &api.bodies)
    }

    /// For a body of at most `limit` bytes, of which `free` has the units.
    pub(super) fn within(limit: usize, free: &Arc<Semaphore>) -> Self {
        Self(Arc::new(Mutex::new(Counts {
            bytes: 0,
            limit,
            unparsed: 0,
            free: Arc::clone(free),
            permit: None,
        })))
    }

    /// Bytes that have come.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The form's next piece was found in what had come.
    pub(super) fn parsed(&self) {
        self.lock().unparsed = 0;
    }

    fn take(&self, bytes: usize) -> Result<(), BodyError> {
        self.lock().take(bytes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.unparsed += bytes;
        // A piece that has just come may be all data.
        if self.unparsed > MOST_UNPARSED + bytes {
            return Err(BodyError::LongHead);
        }
        let whole = self.bytes + bytes;
        if whole > self.limit {
            return Err(BodyError::TooLarge { limit: self.limit });
        }
        let more = whole.div_ceil(BODY_UNIT) - self.bytes.div_ceil(BODY_UNIT);
        let more = u32::try_from(more).map_err(|_| BodyError::Full)?;
        let more = Arc::clone(&self.free).try_acquire_many_owned(more);
        let more = more.map_err(|_| BodyError::Full)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.bytes = whole;
        Ok(())
    }
}

/// The pieces of a body, one at a time, within what `held` allows.
pub(super) fn pieces(
    body: &mut BodyDataStream,
    held: Held,
    longest_audio: Duration,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + '_ {
    let end = Instant::now() + longest_audio + BEYOND_AUDIO;
    futures::stream::try_unfold((body, held), move |(body, held)| async move {
        // Each piece is parsed before the next one is read.
        yield_now().await;
        let until = end.min(Instant::now() + IDLE);
        let piece = timeout_at(until, body.next()).await;
        let Some(piece) = piece.map_err(|_| BodyError::Slow)? else {
            return Ok(None);
        };
        let piece = piece.map_err(|_| BodyError::Gone)?;
        held.take(piece.len())?;
        Ok(Some((piece, (body, held))))
    })
}

/// What a head says of its body.
///
/// # Errors
/// [`BodyError::TooLarge`] before anything of it is read.
pub(super) fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), BodyError> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > limit as u64 => Err(BodyError::TooLarge { limit }),
        _ => Ok(()),
    }
}

/// Reads what is left of a refused body for a while, and keeps nothing: a client that uploads everything before it reads
/// would otherwise lose the answer with the connection. One that asks first is not asked to send.
pub(super) async fn discard(headers: &HeaderMap, body: &mut BodyDataStream, most: usize) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut left = most;
    let reading = async {
        while let Some(Ok(piece)) = body.next().await {
            let Some(less) = left.checked_sub(piece.len()) else {
                return;
            };
            left = less;
        }
    };
    // However it ends, the answer follows.
    timeout(DISCARD_PATIENCE, reading).await.ok();
}

/// As [`discard`], of a body that nothing has read.
pub(super) async fn discard_all(headers: &HeaderMap, body: Body, most: usize) {
    discard(headers, &mut body.into_data_stream(), most).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(limit: usize, free_units: usize) -> (Held, Arc<Semaphore>) {
        let free = Arc::new(Semaphore::new(free_units));
        (Held::within(limit, &free), free)
    }

    #[test]
    fn what_comes_is_counted_once_and_given_back() {
        let (held, free) = held(10_000, 8);
        for _ in 0..5 {
            assert_eq!(held.take(1_000), Ok(()));
        }
        assert_eq!((held.bytes(), free.available_permits()), (5_000, 3));
        assert_eq!(held.take(5_001), Err(BodyError::TooLarge { limit: 10_000 }));
        assert_eq!(held.take(5_000), Err(BodyError::Full));
        drop(held);
        assert_eq!(free.available_permits(), 8);
    }

    #[test]
    fn a_form_that_never_begins_is_given_up_and_a_long_file_is_not() {
        let (held, _free) = held(1 << 30, 1 << 20);
        for _ in 0..100 {
            assert_eq!(held.take(64 << 10), Ok(()));
            held.parsed();
        }
        let outcome = (0..100).find_map(|_| held.take(64 << 10).err());
        assert_eq!(outcome, Some(BodyError::LongHead));
    }

    async fn within(body: Body, held: Held) -> Vec<Result<usize, BodyError>> {
        let mut body = body.into_data_stream();
        let pieces = pieces(&mut body, held, Duration::from_secs(30));
        let lengths = pieces.map(|piece| piece.map(|piece| piece.len()));
        lengths.collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_or_trickles_ends() {
        let silent = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let begun = Instant::now();
        let found = within(silent, held(1_000, 8).0).await;
        assert_eq!((found, begun.elapsed()), (vec![Err(BodyError::Slow)], IDLE));
        let trickle = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let begun = Instant::now();
        let found = within(Body::from_stream(trickle), held(1_000, 8).0).await;
        assert_eq!(found.last(), Some(&Err(BodyError::Slow)));
        assert_eq!(begun.elapsed(), Duration::from_secs(30) + BEYOND_AUDIO);
    }

    #[test]
    fn a_length_beyond_the_limit_is_seen_in_the_head() {
        let headers = |length: &'static str| {
            HeaderMap::from_iter([(
                header::CONTENT_LENGTH,
                axum::http::HeaderValue::from_static(length),
            )])
        };
        assert_eq!(check_length(&headers("1000"), 1_000), Ok(()));
        let limit = 1_000;
        assert_eq!(
            check_length(&headers("1001"), limit),
            Err(BodyError::TooLarge { limit })
        );
        assert!(check_length(&headers("10737418240"), limit).is_err());
    }
}
