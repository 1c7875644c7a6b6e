//! Pages of other origins: off unless settings name them. A page that may not read an answer may not cause the work for
//! it either: browsers send forms to every address, also to a server that only this machine reaches.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::Api;
use super::body;
use super::problem::Problem;

/// How the page that asks is related to this server.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Read of what a page of another origin sends, so that it reads the answer.
const DISCARD_BYTES: usize = 1 << 20;

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
    let allowed = allowed_origin(origins, request.headers());
    if allowed.is_none() && is_work_for_another_origin(&request) {
        let (head, body) = request.into_parts();
        body::discard_all(&head.headers, body, DISCARD_BYTES).await;
        return other_origin().into_response();
    }
    if origins.is_empty() {
        return next.run(request).await;
    }
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

/// Whether a browser sends it for a page of another origin, which costs more than a look. What is no browser does not say
/// for which page it asks (Fetch Metadata, W3C).
fn is_work_for_another_origin(request: &Request) -> bool {
    let site = request.headers().get(SEC_FETCH_SITE);
    let is_other = site.is_some_and(|site| site == "cross-site" || site == "same-site");
    is_other && request.method() == Method::POST
}

fn other_origin() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "origin-not-allowed",
        "a page of another origin sent this, and --http-cors does not name that origin",
    )
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
    fn browsers_say_for_which_page_they_ask() {
        let check = |method: Method, site: Option<&'static str>, expected: bool| {
            let mut request = Request::new(axum::body::Body::empty());
            *request.method_mut() = method;
            if let Some(site) = site {
                let site = HeaderValue::from_static(site);
                request.headers_mut().insert(SEC_FETCH_SITE, site);
            }
            assert_eq!(is_work_for_another_origin(&request), expected, "{site:?}");
        };
        check(Method::POST, Some("cross-site"), true);
        check(Method::POST, Some("same-site"), true);
        check(Method::POST, Some("same-origin"), false);
        check(Method::POST, Some("none"), false);
        check(Method::POST, None, false);
        check(Method::GET, Some("cross-site"), false);
    }

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
