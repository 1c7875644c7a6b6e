//! A model hub on the loopback address: files by `resolve` URLs, large ones by way of a store with an
//! address of its own, as the real hub does it; and what goes wrong with one.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use futures::stream;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The commit that `main` stands for.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one model, `owner/name`. It ends when this is dropped.
#[derive(Debug)]
pub struct Hub {
    endpoint: String,
    shared: Shared,
    _servers: JoinSet<()>,
}

type Shared = Arc<Mutex<Model>>;

#[derive(Debug, Default)]
struct Model {
    files: HashMap<String, HubFile>,
    token: Option<String>,
    broken: Option<StatusCode>,
    store: String,
    asked: Vec<String>,
    tokens_at_store: usize,
}

#[derive(Clone, Debug)]
struct HubFile {
    bytes: Bytes,
    sum: String,
    is_large: bool,
    /// Each next answer ends after this many bytes.
    cuts: Vec<usize>,
    /// What arrives differs from what the sum was made of.
    is_damaged: bool,
    understands_ranges: bool,
}

impl Hub {
    /// A hub whose model has no file yet.
    pub async fn start() -> Self {
        let shared = Shared::default();
        let mut servers = JoinSet::new();
        let elsewhere = Router::new()
            .route("/{file}", any(store))
            .with_state(Arc::clone(&shared));
        shared.lock().unwrap().store = serve(&mut servers, elsewhere).await;
        let own = Router::new()
            .route("/{file}", any(store))
            .with_state(Arc::clone(&shared));
        let hub = Router::new()
            .nest("/store", own)
            .route("/owner/name/resolve/{revision}/{file}", any(resolve))
            .fallback(|| async { refusal(StatusCode::NOT_FOUND, "RepoNotFound") })
            .with_state(Arc::clone(&shared));
        let endpoint = serve(&mut servers, hub).await;
        Self {
            endpoint,
            shared,
            _servers: servers,
        }
    }

    /// What goes into `HF_ENDPOINT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A file that the hub itself gives.
    pub fn small(&self, name: &str, bytes: impl Into<Bytes>) {
        self.put(name, bytes.into(), false);
    }

    /// A file that the store of large files gives.
    pub fn large(&self, name: &str, bytes: impl Into<Bytes>) {
        self.put(name, bytes.into(), true);
    }

    fn put(&self, name: &str, bytes: Bytes, is_large: bool) {
        let mut sum = format!("{:x}", Sha256::digest(&bytes));
        if !is_large {
            // Small files have Git's shorter sum.
            sum.truncate(40);
        }
        let file = HubFile {
            bytes,
            sum,
            is_large,
            cuts: Vec::new(),
            is_damaged: false,
            understands_ranges: true,
        };
        self.model(|model| model.files.insert(name.to_owned(), file));
    }

    /// The next answers for this file end after so many bytes each.
    pub fn cut(&self, name: &str, after: &[usize]) {
        let cuts = after.iter().rev().copied().collect();
        self.file(name, |file| file.cuts = cuts);
    }

    /// This file arrives with a byte changed.
    pub fn damage(&self, name: &str) {
        self.file(name, |file| file.is_damaged = true);
    }

    /// This file always comes from its beginning.
    pub fn without_ranges(&self, name: &str) {
        self.file(name, |file| file.understands_ranges = false);
    }

    /// Large files come from the hub's own address, as a mirror has them.
    pub fn keep_large_files(&self) {
        self.model(|model| model.store = format!("{}/store", self.endpoint));
    }

    /// Only who has this token gets anything.
    pub fn require_token(&self, token: &str) {
        self.model(|model| model.token = Some(token.to_owned()));
    }

    /// Answers everything with this status.
    pub fn fail(&self, status: StatusCode) {
        self.model(|model| model.broken = Some(status));
    }

    /// The requests so far, such as `GET config.json` or `GET model.safetensors bytes=7-`; forgets
    /// them.
    pub fn asked(&self) -> Vec<String> {
        self.model(|model| std::mem::take(&mut model.asked))
    }

    /// How often the store of large files was shown a token.
    pub fn tokens_at_store(&self) -> usize {
        self.model(|model| model.tokens_at_store)
    }

    /// The sum by which the cache names this file.
    pub fn sum(&self, name: &str) -> String {
        self.model(|model| model.files[name].sum.clone())
    }

    fn file(&self, name: &str, change: impl FnOnce(&mut HubFile)) {
        self.model(|model| change(model.files.get_mut(name).unwrap()));
    }

    fn model<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.shared.lock().unwrap())
    }
}

async fn serve(servers: &mut JoinSet<()>, router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    servers.spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn resolve(
    State(shared): State<Shared>,
    method: Method,
    Path((revision, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut model = shared.lock().unwrap();
    model.note(&method, &name, &headers);
    if let Some(status) = model.broken {
        return refusal(status, "");
    }
    let shown = headers.get(header::AUTHORIZATION);
    let wanted = model.token.as_ref().map(|token| format!("Bearer {token}"));
    if wanted.is_some_and(|wanted| shown.is_none_or(|shown| *shown != wanted)) {
        return refusal(StatusCode::UNAUTHORIZED, "RepoNotFound");
    }
    if ![COMMIT, "main", "refs/pr/1"].contains(&revision.as_str()) {
        return refusal(StatusCode::NOT_FOUND, "RevisionNotFound");
    }
    let Some(file) = model.files.get_mut(&name) else {
        return refusal(StatusCode::NOT_FOUND, "EntryNotFound");
    };
    if !file.is_large {
        return file.answer(&method, &headers);
    }
    let answer = Response::builder()
        .status(StatusCode::FOUND)
        .header("x-repo-commit", COMMIT)
        .header("x-linked-etag", format!("\"{}\"", file.sum))
        .header("x-linked-size", file.bytes.len())
        .header("etag", "\"the-sum-of-a-pointer\"")
        .header(header::LOCATION, format!("{}/{name}", model.store));
    answer.body(Body::empty()).unwrap()
}

async fn store(
    State(shared): State<Shared>,
    method: Method,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut model = shared.lock().unwrap();
    model.tokens_at_store += usize::from(headers.contains_key(header::AUTHORIZATION));
    let file = model.files.get_mut(&name).unwrap();
    let mut answer = file.answer(&method, &headers);
    // It knows nothing of commits, and has sums of its own.
    answer.headers_mut().remove("x-repo-commit");
    let own = "\"of-the-store\"".parse().unwrap();
    answer.headers_mut().insert(header::ETAG, own);
    answer
}

fn refusal(status: StatusCode, code: &str) -> Response {
    let answer = Response::builder()
        .status(status)
        .header("x-error-code", code);
    answer.body(Body::empty()).unwrap()
}

impl Model {
    fn note(&mut self, method: &Method, name: &str, headers: &HeaderMap) {
        let mut line = format!("{method} {name}");
        if let Some(range) = headers.get(header::RANGE) {
            line.push(' ');
            line.push_str(range.to_str().unwrap());
        }
        self.asked.push(line);
    }
}

impl HubFile {
    fn answer(&mut self, method: &Method, headers: &HeaderMap) -> Response {
        let whole = self.bytes.len();
        let start = headers
            .get(header::RANGE)
            .filter(|_| self.understands_ranges)
            .and_then(|range| {
                range
                    .to_str()
                    .ok()?
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')
            })
            .map(|start| start.parse::<usize>().unwrap());
        let mut answer = Response::builder()
            .header("x-repo-commit", COMMIT)
            .header(header::ETAG, format!("\"{}\"", self.sum))
            .header(header::CONTENT_LENGTH, whole - start.unwrap_or(0));
        if let Some(start) = start {
            let range = format!("bytes {start}-{}/{whole}", whole - 1);
            answer = answer
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, range);
        }
        let body = if method == Method::HEAD {
            Body::empty()
        } else {
            self.body(start.unwrap_or(0))
        };
        answer.body(body).unwrap()
    }

    fn body(&mut self, start: usize) -> Body {
        let mut rest = self.bytes.slice(start..).to_vec();
        if self.is_damaged {
            *rest.last_mut().unwrap() ^= 1;
        }
        let Some(cut) = self.cuts.pop().filter(|cut| *cut < rest.len()) else {
            return Body::from(rest);
        };
        rest.truncate(cut);
        let parts = [Ok(Bytes::from(rest)), Err(io::Error::other("cut"))];
        // The pause lets the first part leave before the connection is torn down.
        Body::from_stream(stream::unfold(parts.into_iter(), |mut parts| async move {
            let part = parts.next()?;
            if part.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Some((part, parts))
        }))
    }
}
