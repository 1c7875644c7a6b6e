//! The form's reader as a fuzzer calls it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use futures::stream;
use tokio::sync::Semaphore;

use super::body::Held;
use super::form::{self, MOST_TEXT_BYTES, Wanted};

/// Small, so that inputs of a few hundred bytes reach it.
const MOST_BODY_BYTES: usize = 4096;
const UNITS: usize = 16;

/// What one reading of a form gave: its fields in Rust's debug form, or the code of the error.
pub type Outcome = Result<String, &'static str>;

/// Reads `body` as a multipart form, whose bytes arrive `size` at a time (`size` is 1 or more). `content_type` is the
/// header of that name; `None` when no header can hold it.
///
/// # Panics
/// When a field is longer than its bound, or the memory of the body is not given back.
pub async fn read(content_type: &[u8], body: &[u8], size: usize) -> Option<Outcome> {
    let content_type = HeaderValue::from_bytes(content_type).ok()?;
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
    let pieces: Vec<io::Result<Bytes>> = body
        .chunks(size)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let free = Arc::new(Semaphore::new(UNITS));
    let held = Held::within(MOST_BODY_BYTES, &free);
    let mut stream = Body::from_stream(stream::iter(pieces)).into_data_stream();
    let found = form::read(&headers, &mut stream, &held, Duration::from_secs(1)).await;
    drop(held);
    assert_eq!(free.available_permits(), UNITS, "memory is given back");
    Some(match found {
        Ok(wanted) => {
            check(&wanted, body.len());
            Ok(format!("{wanted:?}"))
        }
        Err(problem) => Err(problem.code()),
    })
}

fn check(wanted: &Wanted, body_bytes: usize) {
    assert!((1..=body_bytes).contains(&wanted.file.bytes.len()));
    for text in [&wanted.model, &wanted.language, &wanted.prompt] {
        assert!(
            text.as_ref()
                .is_none_or(|text| text.len() <= MOST_TEXT_BYTES)
        );
    }
    let in_range = |temperature: f32| (0.0..=1.0).contains(&temperature);
    assert!(wanted.temperature.is_none_or(in_range));
}
