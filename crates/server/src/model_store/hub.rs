//! What the hub says of a file.
//!
//! `ENDPOINT/OWNER/NAME/resolve/REVISION/FILE` is all that is asked of it, so mirrors work. A `HEAD` of
//! that URL tells the commit, the size and the sum.

use std::time::Duration;

use reqwest::header;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};

use super::args::is_plain;
use super::cache::RepoCache;
use super::files::CONFIG;
use super::headers::{etag, size, text};
use super::hub_error::HubError;
use super::{HubArgs, HubId, Patience, Secret};

/// A network that drops packets must not look like a slow start.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// The same, for files that a model can do without.
const SHORT: Duration = Duration::from_secs(3);
/// For all questions of that kind together.
const SHORT_IN_ALL: Duration = Duration::from_secs(8);
/// Attempts in a row that bring nothing.
pub(super) const TRIES: u32 = 4;
/// Before the second attempt; doubled each time.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// Redirects that a `HEAD` follows.
const REDIRECTS: u32 = 5;

impl Patience {
    fn connect(self) -> Duration {
        match self {
            Self::Needed => CONNECT,
            Self::Optional => SHORT,
        }
    }

    fn silence(self) -> Duration {
        match self {
            Self::Needed => SILENCE,
            Self::Optional => SHORT,
        }
    }

    fn tries(self) -> u32 {
        match self {
            Self::Needed => TRIES,
            Self::Optional => 1,
        }
    }

    /// For everything together.
    pub(super) fn limit(self) -> Option<Duration> {
        (self == Self::Optional).then_some(SHORT_IN_ALL)
    }
}

/// One model at the hub.
pub(super) struct Hub<'a> {
    pub(super) id: &'a HubId,
    endpoint: &'a str,
    pub(super) cache: &'a RepoCache,
    token: Option<Secret>,
    /// How often a question is asked that is not answered.
    tries: u32,
    /// Follows no redirect: the first answer knows the file, the last one only its bytes.
    asking: Client,
    pub(super) fetching: Client,
}

/// What the hub says of a file.
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) commit: String,
    /// Name of its blob; for large files the SHA-256 of the content.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

impl<'a> Hub<'a> {
    pub(super) fn new(
        id: &'a HubId,
        args: &'a HubArgs,
        cache: &'a RepoCache,
        patience: Patience,
    ) -> Result<Self, HubError> {
        let endpoint = args.endpoint();
        let is_http = |url: Url| matches!(url.scheme(), "http" | "https");
        if !Url::parse(endpoint).is_ok_and(is_http) {
            return Err(HubError::Endpoint {
                endpoint: endpoint.to_owned(),
            });
        }
        let client = || {
            Client::builder()
                .user_agent(concat!("wyoming-stt/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(patience.connect())
                .read_timeout(patience.silence())
        };
        Ok(Self {
            id,
            endpoint,
            cache,
            token: args.token(),
            tries: patience.tries(),
            asking: client()
                .redirect(redirect::Policy::none())
                .build()
                .map_err(start)?,
            fetching: client().build().map_err(start)?,
        })
    }
}

impl Hub<'_> {
    /// What the hub says of a file; `None` when the model has none of this name.
    pub(super) async fn ask(
        &self,
        revision: &str,
        name: &str,
    ) -> Result<Option<RemoteFile>, HubError> {
        let mut url = self.url(revision, name)?;
        let mut answer = self.send(name, || self.request(Method::HEAD, &url)).await?;
        for _ in 0..REDIRECTS {
            // A renamed model is elsewhere at the hub, and some mirrors know nothing themselves;
            // the store of large files is not asked, it has other sums.
            let Some(next) = redirected(&answer) else {
                break;
            };
            let headers = answer.headers();
            let is_elsewhere = next.origin() != url.origin() && etag(headers).is_some();
            // A mirror may keep the large files itself, and say of them what the hub says on the way there.
            let is_told = text(headers, "x-linked-etag").is_some()
                && text(headers, "x-repo-commit").is_some()
                && etag(headers).is_some();
            if is_elsewhere || is_told {
                break;
            }
            url = next;
            answer = self.send(name, || self.request(Method::HEAD, &url)).await?;
        }
        if answer.status() == StatusCode::NOT_FOUND {
            return self.not_found(revision, name, &answer);
        }
        if !answer.status().is_success() && !answer.status().is_redirection() {
            return Err(self.refusal(name, &answer));
        }
        let headers = answer.headers();
        let missing = |header| HubError::Answer {
            id: self.id.clone(),
            file: name.to_owned(),
            header,
        };
        Ok(Some(RemoteFile {
            name: name.to_owned(),
            commit: text(headers, "x-repo-commit")
                .filter(|commit| is_plain(commit))
                .ok_or_else(|| missing("x-repo-commit"))?
                .to_owned(),
            etag: etag(headers).ok_or_else(|| missing("etag"))?,
            size: size(headers, answer.status()),
        }))
    }

    fn not_found(
        &self,
        revision: &str,
        name: &str,
        answer: &Response,
    ) -> Result<Option<RemoteFile>, HubError> {
        match text(answer.headers(), "x-error-code") {
            Some("RevisionNotFound") => Err(HubError::NoRevision {
                id: self.id.clone(),
                revision: revision.to_owned(),
            }),
            Some("EntryNotFound") => Ok(None),
            // A mirror that gives no reason: without the first file there is no model.
            None if name != CONFIG => Ok(None),
            _ => Err(HubError::NoModel {
                endpoint: self.endpoint.to_owned(),
                id: self.id.clone(),
            }),
        }
    }

    pub(super) fn refusal(&self, name: &str, answer: &Response) -> HubError {
        let status = answer.status();
        let is_gated = text(answer.headers(), "x-error-code") == Some("GatedRepo");
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => HubError::Refused {
                id: self.id.clone(),
                status,
                remedy: match (&self.token, is_gated) {
                    (_, true) => {
                        "accept its conditions on the hub's page, and give a token in HF_TOKEN"
                    }
                    (None, _) => "check its name; a private model needs a token in HF_TOKEN",
                    (Some(_), _) => "check its name, and that the token may read it",
                },
            },
            _ => HubError::Status {
                id: self.id.clone(),
                file: name.to_owned(),
                status,
            },
        }
    }

    pub(super) fn url(&self, revision: &str, file: &str) -> Result<Url, HubError> {
        // A slash within a revision is part of its name.
        let revision = revision.replace('/', "%2F");
        let text = format!("{}/{}/resolve/{revision}/{file}", self.endpoint, self.id);
        Url::parse(&text).map_err(|_| HubError::Endpoint {
            endpoint: self.endpoint.to_owned(),
        })
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        let request = self
            .asking
            .request(method, url.clone())
            // A compressed answer would tell another size.
            .header(header::ACCEPT_ENCODING, "identity");
        // Other hosts must not see the token.
        let is_hub = Url::parse(self.endpoint).is_ok_and(|hub| hub.origin() == url.origin());
        if is_hub {
            self.with_token(request)
        } else {
            request
        }
    }

    pub(super) fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    /// Sends a request, again when the hub is busy or cannot be reached.
    pub(super) async fn send(
        &self,
        file: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, HubError> {
        let mut attempt = 0;
        loop {
            let is_last = attempt + 1 >= self.tries;
            match request().send().await {
                Ok(answer) if !is_busy(answer.status()) => return Ok(answer),
                Ok(answer) if is_last => return Err(self.refusal(file, &answer)),
                Err(source) if is_last => {
                    return Err(HubError::Unreachable {
                        endpoint: self.endpoint.to_owned(),
                        source: source.without_url(),
                    });
                }
                _ => tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await,
            }
            attempt += 1;
        }
    }
}

pub(super) fn start(error: impl std::error::Error + Send + Sync + 'static) -> HubError {
    HubError::Start {
        source: Box::new(error),
    }
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
}

fn redirected(answer: &Response) -> Option<Url> {
    if !answer.status().is_redirection() {
        return None;
    }
    let target = answer.headers().get(header::LOCATION)?.to_str().ok()?;
    answer.url().join(target).ok()
}
