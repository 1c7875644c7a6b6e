//! API keys of requests: `Authorization: Bearer KEY`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::{Api, Peer};
use super::problem::Problem;

/// Lets requests with a key through; all of them where clients need none.
pub(super) async fn authorise(
    State(api): State<Arc<Api>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    match check(&api, peer, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(api: &Api, peer: IpAddr, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(keys) = &api.settings.keys else {
        return Ok(());
    };
    let unauthorised = |message| Problem::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
    let Some(key) = bearer(headers) else {
        return Err(unauthorised(
            "an API key is needed; send it as Authorization: Bearer KEY",
        ));
    };
    let now = api.began.elapsed();
    let mut guesses = api.guesses.lock().unwrap_or_else(PoisonError::into_inner);
    guesses.may_try(peer, now).map_err(|wait| {
        let message = format!(
            "too many wrong API keys came from this address; try again in {} s",
            wait.as_secs() + 1
        );
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-wrong-keys",
            message,
        )
        .retry_after(wait.as_secs() + 1)
    })?;
    if keys.has(key) {
        return Ok(());
    }
    guesses.was_wrong(peer, key, now);
    Err(unauthorised(
        "this API key is not known here; --http-keys names the file of those that are",
    ))
}

/// The key of a request, if it has one.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !key.is_empty()).then_some(key)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_key_follows_its_scheme() {
        for (value, key) in [
            ("Bearer sk-1", Some("sk-1")),
            ("bearer  sk-1 ", Some("sk-1")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic c2s=", None),
            ("sk-1", None),
        ] {
            let value = HeaderValue::from_static(value);
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.clone())]);
            assert_eq!(bearer(&headers), key.map(str::as_bytes), "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
