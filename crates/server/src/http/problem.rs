//! What goes wrong, in the shape of OpenAI's errors.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fault::Fault;

/// Seconds after which a refused client may try again.
const RETRY_AFTER_S: u64 = 5;

/// An answer without words.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    /// The field that is wrong.
    param: Option<&'static str>,
    message: String,
    retry_after_s: Option<u64>,
    fault: Option<Fault>,
}

/// OpenAI's error object.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Body {
    error: Inner,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorDetail)]
struct Inner {
    /// One sentence, with what to do.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    r#type: &'static str,
    /// The field of the request that is wrong.
    param: Option<&'static str>,
    /// A stable name of the error.
    code: &'static str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            param: None,
            message: message.into(),
            retry_after_s: None,
            fault: None,
        }
    }

    /// A field that is missing or has a value that cannot be used.
    pub(super) fn field(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message)
        }
    }

    /// The same may work after some seconds.
    pub(super) fn busy(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds.max(1)),
            ..self
        }
    }

    pub(super) fn about(self, param: &'static str) -> Self {
        Self {
            param: Some(param),
            ..self
        }
    }

    /// The fault behind it, for logs and metrics.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn body(&self) -> Body {
        let r#type = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Body {
            error: Inner {
                message: self.message.clone(),
                r#type,
                param: self.param,
                code: self.code,
            },
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let message = match &fault {
            Fault::TooLong { limit } => format!(
                "the audio is longer than {} s; send shorter files, or raise --max-utterance",
                limit.as_secs()
            ),
            fault => fault.to_string(),
        };
        let code = fault.code().as_str();
        let problem = match &fault {
            Fault::UnsupportedLanguage { .. } => {
                Self::new(StatusCode::BAD_REQUEST, code, message).about("language")
            }
            Fault::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, code, message).about("file")
            }
            Fault::Overloaded { .. }
            | Fault::TooMuchAudio { .. }
            | Fault::TooManyConnections { .. }
            | Fault::NotReady
            | Fault::Draining
            | Fault::Deadline { .. } => Self::busy(code, message),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, message),
        };
        Self {
            fault: Some(fault),
            ..problem
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shown(fault: Fault) -> (u16, serde_json::Value, bool) {
        let problem = Problem::from(fault);
        let body = serde_json::to_value(problem.body()).unwrap();
        let response = problem.into_response();
        let retry = response.headers().contains_key(header::RETRY_AFTER);
        (response.status().as_u16(), body["error"].clone(), retry)
    }

    #[test]
    fn a_full_queue_may_be_tried_again_and_long_audio_may_not() {
        let (status, error, retry) = shown(Fault::Overloaded { waiting: 32 });
        assert_eq!((status, retry), (503, true));
        assert_eq!(
            (error["type"].as_str(), error["code"].as_str()),
            (Some("server_error"), Some("overloaded"))
        );
        let limit = Duration::from_secs(300);
        let (status, error, retry) = shown(Fault::TooLong { limit });
        assert_eq!((status, retry), (413, false));
        assert_eq!(error["param"], "file");
        assert!(error["message"].as_str().unwrap().contains("300 s"));
        assert!(!error["message"].as_str().unwrap().contains("audio-stop"));
    }
}
