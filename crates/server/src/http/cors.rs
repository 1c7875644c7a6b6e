//! Pages of other origins: off unless settings name them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::Api;

/// What a page may send beside what every page may.
const ALLOWED: [(HeaderName, HeaderValue); 3] = [
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST"),
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("authorization, content-type, traceparent, tracestate"),
    ),
    (
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    ),
];

/// Answers what browsers ask ahead, and marks answers that the page may read.
pub(super) async fn cors(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let origins = &api.settings.origins;
    if origins.is_empty() {
        return next.run(request).await;
    }
    let allowed = allowed_origin(origins, request.headers());
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if is_preflight {
            headers.extend(ALLOWED);
        }
    }
    response
}

/// What the page's origin is told, if it is one of `origins`.
fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    if origins.iter().any(|allowed| allowed == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let is_allowed = origins
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes());
    is_allowed.then(|| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_origins_are_allowed() {
        let check = |allowed: &[&str], origin: Option<&'static str>, expected: Option<&str>| {
            let allowed: Vec<String> = allowed.iter().map(|&text| text.to_owned()).collect();
            let mut headers = HeaderMap::new();
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            let found = allowed_origin(&allowed, &headers);
            assert_eq!(
                found.as_ref().and_then(|found| found.to_str().ok()),
                expected
            );
        };
        check(
            &["https://a.example"],
            Some("https://a.example"),
            Some("https://a.example"),
        );
        check(&["https://a.example"], Some("https://a.example.org"), None);
        check(&["https://a.example"], Some("null"), None);
        check(&["*"], Some("https://b.example"), Some("*"));
        check(&["*"], None, None);
    }
}
