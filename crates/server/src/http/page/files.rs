//! The files of the page, and the headers that they are sent with.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

/// A file: its path, its type, and what is in it.
type File = (&'static str, &'static str, &'static [u8]);

macro_rules! files {
    ($($path:literal $kind:ident $file:literal;)*) => {
        [$(($path, $kind, include_bytes!(concat!("web/", $file)))),*]
    };
}

/// Every file. Only these paths are answered, letter by letter: there is no folder behind them.
const FILES: [File; 26] = files! {
    "/" HTML "index.html";
    "/page/style.css" CSS "style.css";
    "/page/icon.svg" ICON "icon.svg";
    "/page/theme.js" SCRIPT "theme.js";
    "/page/app.js" SCRIPT "app.js";
    "/page/api.js" SCRIPT "api.js";
    "/page/drafts.js" SCRIPT "drafts.js";
    "/page/dropping.js" SCRIPT "dropping.js";
    "/page/events.js" SCRIPT "events.js";
    "/page/history.js" SCRIPT "history.js";
    "/page/key.js" SCRIPT "key.js";
    "/page/keyform.js" SCRIPT "keyform.js";
    "/page/meter.js" SCRIPT "meter.js";
    "/page/microphone.js" SCRIPT "microphone.js";
    "/page/pauses.js" SCRIPT "pauses.js";
    "/page/recording.js" SCRIPT "recording.js";
    "/page/resampler.js" SCRIPT "resampler.js";
    "/page/save.js" SCRIPT "save.js";
    "/page/server.js" SCRIPT "server.js";
    "/page/stage.js" SCRIPT "stage.js";
    "/page/take.js" SCRIPT "take.js";
    "/page/times.js" SCRIPT "times.js";
    "/page/timings.js" SCRIPT "timings.js";
    "/page/transcript.js" SCRIPT "transcript.js";
    "/page/wav.js" SCRIPT "wav.js";
    "/page/worklet.js" SCRIPT "worklet.js";
};

/// What the page may do: load its own files and call its own server. No script or style is in the
/// HTML, and no text becomes HTML. A page of the same origin may frame it, as Home Assistant's ingress does.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'";

const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    ),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("microphone=(self), camera=(), geolocation=()"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    // Another version of the program has other files: browsers ask each time, and get 304.
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// Of each file, in their order. Made once; a program's files never change.
static TAGS: LazyLock<[HeaderValue; FILES.len()]> = LazyLock::new(|| {
    FILES.map(|(_, _, bytes)| {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let tag = HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()));
        tag.expect("digits are ASCII")
    })
});

/// Whether the page has this file.
pub(in crate::http) fn is_file(path: &str) -> bool {
    find(path).is_some()
}

/// The file with this path, as it stands in the request; `None` if there is none.
pub(in crate::http) fn respond(path: &str, headers: &HeaderMap) -> Option<Response> {
    let at = find(path)?;
    let ((_, kind, bytes), tag) = (FILES[at], TAGS[at].clone());
    let mut response = if is_known(headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (
            [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
            bytes,
        )
            .into_response()
    };
    response.headers_mut().extend(HEADERS);
    response.headers_mut().insert(header::ETAG, tag);
    Some(response)
}

fn find(path: &str) -> Option<usize> {
    FILES.iter().position(|(known, ..)| *known == path)
}

/// Whether the client has the file with this tag (RFC 9110, 13.1.2: compared weakly).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let mut known = headers.get_all(header::IF_NONE_MATCH).iter();
    known.any(|value| {
        let mut tags = value.as_bytes().split(|byte| *byte == b',');
        tags.any(|known| {
            let known = known.trim_ascii();
            let known = known.strip_prefix(b"W/").unwrap_or(known);
            known == b"*" || known == tag.as_bytes()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        let (.., bytes) = FILES[find(path).unwrap()];
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn files_take_nothing_from_elsewhere_and_have_no_script_in_the_html() {
        for (path, ..) in FILES {
            let text = text(path).replace("http://www.w3.org/2000/svg", "");
            for word in [
                "http://",
                "https://",
                "innerHTML",
                "eval(",
                "document.write",
            ] {
                assert!(
                    !text.contains(word) || word.starts_with("http") && is_only_text(&text, word),
                    "{path} has {word}"
                );
            }
        }
        let html = text("/");
        for word in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!html.contains(word), "{word}");
        }
        for script in html.split("<script").skip(1) {
            let (head, rest) = script.split_once('>').unwrap();
            assert!(
                head.contains("src=\"page/") && rest.starts_with("</script>"),
                "{head}"
            );
        }
    }

    /// An address in a sentence for people loads nothing.
    fn is_only_text(text: &str, word: &str) -> bool {
        let loads = ["src=\"", "href=\"", "url(", "fetch(\"", "from \""];
        !loads
            .iter()
            .any(|load| text.contains(&format!("{load}{word}")))
    }

    #[test]
    fn each_file_that_is_named_is_there_and_each_that_is_there_is_named() {
        let all: String = FILES.iter().map(|(path, ..)| text(path)).collect();
        for (path, ..) in FILES.iter().skip(1) {
            let name = path.rsplit('/').next().unwrap();
            assert!(all.contains(&format!("/{name}\"")), "{path} is not used");
        }
        for named in all.split("from \"./").skip(1) {
            let name = named.split('"').next().unwrap();
            assert!(is_file(&format!("/page/{name}")), "{name}");
        }
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        let status = |sent: Option<HeaderValue>| {
            let headers = sent.map(|value| (header::IF_NONE_MATCH, value));
            let response = respond("/", &headers.into_iter().collect()).unwrap();
            assert!(
                response
                    .headers()
                    .contains_key(header::CONTENT_SECURITY_POLICY)
            );
            response.status().as_u16()
        };
        let tag = TAGS[0].to_str().unwrap();
        let other = TAGS[1].to_str().unwrap();
        let value = |text: &str| Some(HeaderValue::from_str(text).unwrap());
        assert_eq!(status(None), 200);
        assert_eq!(status(value(tag)), 304);
        assert_eq!(status(value(&format!("\"x\", W/{tag}"))), 304);
        assert_eq!(status(value("*")), 304);
        assert_eq!(status(value(other)), 200);
    }

    #[test]
    fn a_path_is_one_of_the_files_letter_by_letter() {
        for path in [
            "",
            "//",
            "/index.html",
            "/page",
            "/page/",
            "/page/..",
            "/page/style%2ecss",
            "/page//style.css",
            "/Page/style.css",
            "/page/style.css/",
            "/page/web/app.js",
            "/page/state.json",
        ] {
            assert!(!is_file(path), "{path}");
        }
        assert!(is_file("/") && is_file("/page/app.js"));
    }
}
