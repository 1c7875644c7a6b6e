//! Files of a hub model, by plain HTTP and with resumption.
//!
//! `GET ENDPOINT/OWNER/NAME/resolve/REVISION/FILE` is all that is asked of the hub, so mirrors work.
//! A `HEAD` of it tells the commit, the size and the sum of a file. What arrives is kept as
//! `ETAG.incomplete`; a download that was cut off, in this run or an earlier one, goes on from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use sha2::{Digest, Sha256};

use super::args::is_plain;
use super::cache::{
    CONFIG, OPTIONAL, RepoCache, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, WriteError, create_parent,
    shards,
};
use super::progress::Progress;
use super::{HubArgs, HubId, Report, Revision, Secret};

/// A network that drops packets must not look like a slow start.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// Attempts in a row that bring nothing.
const TRIES: u32 = 4;
/// Before the second attempt; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Redirects that a `HEAD` follows.
const REDIRECTS: u32 = 5;

/// Why a hub model cannot be fetched. Every text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The address of the hub is none.
    #[error("HF_ENDPOINT {endpoint:?} is no http or https URL")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// No network, a wrong address, or a firewall.
    #[error(
        "the model hub at {endpoint} cannot be reached: check the network and HF_ENDPOINT, or give --model a folder"
    )]
    Unreachable {
        /// Where it should be.
        endpoint: String,
        /// What the network said.
        source: reqwest::Error,
    },
    /// The hub does not know the model.
    #[error(
        "the hub at {endpoint} has no model {id}: check its name; a private one needs a token in HF_TOKEN"
    )]
    NoModel {
        /// Which hub.
        endpoint: String,
        /// The model.
        id: HubId,
    },
    /// The hub does not know the revision.
    #[error("model {id} has no revision {revision}: check --revision")]
    NoRevision {
        /// The model.
        id: HubId,
        /// The revision.
        revision: String,
    },
    /// The hub does not give the model to this user.
    #[error("the hub refuses model {id} ({status}): {remedy}")]
    Refused {
        /// The model.
        id: HubId,
        /// 401 or 403.
        status: StatusCode,
        /// What to do.
        remedy: &'static str,
    },
    /// The model lacks a file.
    #[error("model {id} has no {file}: {remedy}")]
    NoFile {
        /// The model.
        id: HubId,
        /// The file.
        file: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The list of the weight files is not what it should be.
    #[error("{WEIGHTS_INDEX} of model {id} names no files beside it: use another revision")]
    Index {
        /// The model.
        id: HubId,
    },
    /// The hub is in trouble, or is no hub.
    #[error("the hub answers {status} for {file} of model {id}: try again later")]
    Status {
        /// The model.
        id: HubId,
        /// The file.
        file: String,
        /// What it answered.
        status: StatusCode,
    },
    /// An answer that lacks what every hub tells.
    #[error(
        "the answer for {file} of model {id} has no valid {header}: is HF_ENDPOINT a model hub?"
    )]
    Answer {
        /// The model.
        id: HubId,
        /// The file.
        file: String,
        /// The header.
        header: &'static str,
    },
    /// The connection ended too early, again and again.
    #[error(
        "{file} was cut off after {received} bytes{}: run the same again, it goes on from there", of(*.expected)
    )]
    CutOff {
        /// The file.
        file: String,
        /// What is there.
        received: u64,
        /// What should be.
        expected: Option<u64>,
        /// What the network said, if anything.
        source: Option<reqwest::Error>,
    },
    /// The bytes are not the ones that the hub promised.
    #[error(
        "{file} arrived damaged ({found} instead of {expected}) and was thrown away: run the same again"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Size or sum by the hub.
        expected: String,
        /// Size or sum of what came.
        found: String,
    },
    /// No room.
    #[error("the disk of {} is full{}: free some, or give --download-dir", path.display(), wanting(*.missing))]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Bytes that are still to come, where known.
        missing: Option<u64>,
        /// What the system said.
        source: io::Error,
    },
    /// The cache cannot be written.
    #[error("{} cannot be written: make it writable, or give --download-dir", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread, no sockets, no certificates.
    #[error("the download cannot be started")]
    Start {
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Fetches what is missing of a model; returns its commit.
///
/// Runs on a thread of its own, so that it can be called from anywhere.
pub(super) fn download(
    id: &HubId,
    args: &HubArgs,
    cache: &RepoCache,
    report: Report,
) -> Result<String, HubError> {
    let hub = Hub::new(id, args, cache)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("model-download".to_owned());
        let fetch = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(start)?;
            runtime.block_on(hub.fetch(&args.revision, report))
        };
        let thread = thread.spawn_scoped(scope, fetch).map_err(start)?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn start(error: impl std::error::Error + Send + Sync + 'static) -> HubError {
    HubError::Start {
        source: Box::new(error),
    }
}

/// One model at the hub.
struct Hub<'a> {
    id: &'a HubId,
    endpoint: &'a str,
    cache: &'a RepoCache,
    token: Option<Secret>,
    /// Follows no redirect: the first answer knows the file, the last one only its bytes.
    asking: Client,
    fetching: Client,
}

/// What the hub says of a file.
struct RemoteFile {
    name: String,
    commit: String,
    /// Name of its blob; for large files the SHA-256 of the content.
    etag: String,
    size: Option<u64>,
}

impl<'a> Hub<'a> {
    fn new(id: &'a HubId, args: &'a HubArgs, cache: &'a RepoCache) -> Result<Self, HubError> {
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
                .connect_timeout(CONNECT)
                .read_timeout(SILENCE)
        };
        Ok(Self {
            id,
            endpoint,
            cache,
            token: args.token(),
            asking: client()
                .redirect(redirect::Policy::none())
                .build()
                .map_err(start)?,
            fetching: client().build().map_err(start)?,
        })
    }

    async fn fetch(&self, revision: &Revision, report: Report) -> Result<String, HubError> {
        let config = self
            .required(revision.as_str(), CONFIG, "is it a Whisper checkpoint?")
            .await?;
        // From here on one commit, whatever happens to the branch meanwhile.
        let commit = config.commit.clone();
        let remedy = "use a checkpoint that was saved with transformers' fast tokenizer";
        let mut files = vec![config, self.required(&commit, TOKENIZER, remedy).await?];
        for name in OPTIONAL {
            match self.ask(&commit, name).await? {
                Some(file) => files.push(file),
                None => self.cache.mark_absent(&commit, name).map_err(unwritten)?,
            }
        }
        files.extend(self.weights(&commit).await?);

        let total = files.iter().filter_map(|file| file.size).sum();
        let mut progress = Progress::new(report, self.id, total);
        for file in &files {
            self.bring(&commit, file, &mut progress).await?;
        }
        progress.finish();
        self.cache
            .set_commit(revision, &commit)
            .map_err(unwritten)?;
        Ok(commit)
    }

    /// The weight files: one, or an index and what it names.
    async fn weights(&self, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        if let Some(file) = self.ask(commit, WEIGHTS).await? {
            return Ok(vec![file]);
        }
        let Some(index) = self.ask(commit, WEIGHTS_INDEX).await? else {
            return Err(HubError::NoFile {
                id: self.id.clone(),
                file: WEIGHTS,
                remedy: "use a checkpoint with safetensors weights, or convert it with transformers' save_pretrained",
            });
        };
        let mut silent = Progress::silent();
        self.bring(commit, &index, &mut silent).await?;
        let path = self.cache.snapshot(commit).join(WEIGHTS_INDEX);
        let names = fs::read(path)
            .ok()
            .and_then(|text| shards(&text))
            .ok_or_else(|| HubError::Index {
                id: self.id.clone(),
            })?;
        let mut files = Vec::new();
        for name in names {
            let file = self.ask(commit, &name).await?;
            files.push(file.ok_or_else(|| HubError::Index {
                id: self.id.clone(),
            })?);
        }
        Ok(files)
    }

    async fn required(
        &self,
        revision: &str,
        file: &'static str,
        remedy: &'static str,
    ) -> Result<RemoteFile, HubError> {
        let found = self.ask(revision, file).await?;
        found.ok_or_else(|| HubError::NoFile {
            id: self.id.clone(),
            file,
            remedy,
        })
    }

    /// What the hub says of a file; `None` when the model has none of this name.
    async fn ask(&self, revision: &str, name: &str) -> Result<Option<RemoteFile>, HubError> {
        let mut url = self.url(revision, name)?;
        let mut answer = self.send(name, || self.request(Method::HEAD, &url)).await?;
        for _ in 0..REDIRECTS {
            // A renamed model is elsewhere at the hub, and some mirrors know nothing themselves;
            // the store of large files is not asked, it has other sums.
            let Some(next) = redirected(&answer) else {
                break;
            };
            if next.origin() != url.origin() && etag(answer.headers()).is_some() {
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

    fn refusal(&self, name: &str, answer: &Response) -> HubError {
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

    /// Makes a file of the commit be there, whole.
    async fn bring(
        &self,
        commit: &str,
        file: &RemoteFile,
        progress: &mut Progress,
    ) -> Result<(), HubError> {
        let blob = self.cache.blob(&file.etag);
        if !is_whole(&blob, file.size) {
            create_parent(&blob).map_err(unwritten)?;
            let _lock = self.cache.lock(&file.etag).map_err(unwritten)?;
            // Another process may have had the lock for the same file.
            if !is_whole(&blob, file.size) {
                self.complete(file, progress).await?;
            }
        }
        progress.file_done(length(&blob));
        self.cache
            .link(commit, &file.name, &file.etag)
            .map_err(unwritten)
    }

    async fn complete(&self, file: &RemoteFile, progress: &mut Progress) -> Result<(), HubError> {
        let part = self.cache.incomplete(&file.etag);
        let had_left_over = length(&part) > 0;
        self.receive_all(file, &part, progress).await?;
        if let Err(error) = verified(file, &part) {
            fs::remove_file(&part).ok();
            if !had_left_over {
                return Err(error);
            }
            // What an earlier run had left was not the beginning of this.
            self.receive_all(file, &part, progress).await?;
            verified(file, &part).inspect_err(|_| {
                fs::remove_file(&part).ok();
            })?;
        }
        let blob = self.cache.blob(&file.etag);
        fs::rename(&part, &blob).map_err(|source| unwritten((blob, source)))
    }

    /// Goes on where it was cut off, as long as something comes.
    async fn receive_all(
        &self,
        file: &RemoteFile,
        part: &Path,
        progress: &mut Progress,
    ) -> Result<(), HubError> {
        let mut fruitless = 0;
        loop {
            let before = length(part);
            match self.receive(file, part, progress).await {
                Err(error @ HubError::CutOff { .. }) => {
                    fruitless = if length(part) > before {
                        0
                    } else {
                        fruitless + 1
                    };
                    if fruitless == TRIES {
                        return Err(error);
                    }
                    tracing::debug!(file = file.name, bytes = length(part), "download cut off");
                    tokio::time::sleep(PAUSE * 2_u32.pow(fruitless)).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// One request for the bytes that are not there yet.
    async fn receive(
        &self,
        file: &RemoteFile,
        part: &Path,
        progress: &mut Progress,
    ) -> Result<(), HubError> {
        let mut start = length(part);
        if file.size == Some(start) && start > 0 {
            return Ok(());
        }
        if file.size.is_some_and(|size| start > size) {
            start = 0;
        }
        let url = self.url(&file.commit, &file.name)?;
        let request = || {
            let request = self.with_token(self.fetching.get(url.clone()));
            if start == 0 {
                return request;
            }
            request.header(header::RANGE, format!("bytes={start}-"))
        };
        let answer = self.send(&file.name, request).await?;
        let cut_off = |received, source: Option<reqwest::Error>| HubError::CutOff {
            file: file.name.clone(),
            received,
            expected: file.size,
            source: source.map(reqwest::Error::without_url),
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT if range_start(answer.headers()) == Some(start) => {}
            StatusCode::OK => start = 0,
            // What is there is not a part of this file, or ranges are not understood.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                fs::remove_file(part).ok();
                return Err(cut_off(0, None));
            }
            _ => return Err(self.refusal(&file.name, &answer)),
        }
        let mut answer = answer;
        let mut received = start;
        let unwritten = |source| {
            let missing = file.size.map(|size| size.saturating_sub(length(part)));
            unwritten_of((part.to_owned(), source), missing)
        };
        let mut output = open_at(part, start).map_err(unwritten)?;
        loop {
            progress.file_at(received);
            match answer.chunk().await {
                Ok(Some(bytes)) => {
                    output.write_all(&bytes).map_err(unwritten)?;
                    received += bytes.len() as u64;
                    if file.size.is_some_and(|size| received > size) {
                        // Longer than promised: `verified` says so.
                        return Ok(());
                    }
                }
                Ok(None) if file.size.is_some_and(|size| received < size) => {
                    return Err(cut_off(received, None));
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(cut_off(received, Some(error))),
            }
        }
    }

    fn url(&self, revision: &str, file: &str) -> Result<Url, HubError> {
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
        // Elsewhere the token is nobody's business.
        let is_hub = Url::parse(self.endpoint).is_ok_and(|hub| hub.origin() == url.origin());
        if is_hub {
            self.with_token(request)
        } else {
            request
        }
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    /// Sends a request, again when the hub is busy or cannot be reached.
    async fn send(
        &self,
        file: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, HubError> {
        let mut attempt = 0;
        loop {
            let is_last = attempt + 1 == TRIES;
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

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The name of the blob: of the file itself where it lies in the store of large files.
fn etag(headers: &HeaderMap) -> Option<String> {
    let raw = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"))?;
    let plain = raw.trim_start_matches("W/").trim_matches('"');
    is_plain(plain).then(|| plain.to_owned())
}

fn size(headers: &HeaderMap, status: StatusCode) -> Option<u64> {
    let own = || text(headers, "content-length").filter(|_| status.is_success());
    text(headers, "x-linked-size").or_else(own)?.parse().ok()
}

/// First byte by `Content-Range: bytes START-END/SIZE`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = text(headers, "content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn is_whole(blob: &Path, size: Option<u64>) -> bool {
    fs::metadata(blob).is_ok_and(|found| size.is_none_or(|size| found.len() == size))
}

fn open_at(path: &Path, start: u64) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    file.set_len(start)?;
    file.seek(SeekFrom::Start(start))?;
    Ok(file)
}

/// Compares size and sum with what the hub said.
fn verified(file: &RemoteFile, part: &Path) -> Result<(), HubError> {
    let damaged = |expected: String, found: String| HubError::Damaged {
        file: file.name.clone(),
        expected,
        found,
    };
    let found = length(part);
    if let Some(size) = file.size.filter(|size| *size != found) {
        return Err(damaged(format!("{size} bytes"), format!("{found} bytes")));
    }
    // Small files have Git's sum of 40 digits instead; loading parses them anyway.
    let is_sha256 = file.etag.len() == 64 && file.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sha256 {
        return Ok(());
    }
    let sum = sha256(part).map_err(|source| unwritten((part.to_owned(), source)))?;
    if sum == file.etag.to_ascii_lowercase() {
        Ok(())
    } else {
        Err(damaged(
            format!("sha256 {}", file.etag),
            format!("sha256 {sum}"),
        ))
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

fn unwritten(error: WriteError) -> HubError {
    unwritten_of(error, None)
}

fn unwritten_of((path, source): WriteError, missing: Option<u64>) -> HubError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HubError::DiskFull {
            path,
            missing,
            source,
        },
        _ => HubError::Write { path, source },
    }
}

fn of(expected: Option<u64>) -> String {
    expected.map_or_else(String::new, |bytes| format!(" of {bytes}"))
}

fn wanting(missing: Option<u64>) -> String {
    missing.map_or_else(String::new, |bytes| {
        format!(", {bytes} bytes are still to come")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_sum_of_the_large_file_counts_not_the_one_of_its_pointer() {
        let both = headers(&[("etag", "\"aa\""), ("x-linked-etag", "\"bb\"")]);
        assert_eq!(etag(&both).as_deref(), Some("bb"));
        assert_eq!(
            etag(&headers(&[("etag", "W/\"aa\"")])).as_deref(),
            Some("aa")
        );
        assert_eq!(etag(&headers(&[("etag", "\"../up\"")])), None);
    }

    #[test]
    fn a_redirect_tells_the_size_in_its_own_header_only() {
        let both = headers(&[("content-length", "300"), ("x-linked-size", "5")]);
        assert_eq!(size(&both, StatusCode::FOUND), Some(5));
        let own = headers(&[("content-length", "300")]);
        assert_eq!(size(&own, StatusCode::OK), Some(300));
        assert_eq!(size(&own, StatusCode::FOUND), None);
    }

    #[test]
    fn a_range_begins_where_it_says() {
        assert_eq!(
            range_start(&headers(&[("content-range", "bytes 7-9/10")])),
            Some(7)
        );
        assert_eq!(
            range_start(&headers(&[("content-range", "bytes */10")])),
            None
        );
        assert_eq!(range_start(&headers(&[])), None);
    }

    #[test]
    fn a_full_disk_is_told_from_a_forbidden_one() {
        let error = |kind: io::ErrorKind| unwritten_of((PathBuf::from("/m"), kind.into()), Some(7));
        assert!(
            error(io::ErrorKind::StorageFull)
                .to_string()
                .contains("7 bytes are still to come")
        );
        assert!(matches!(
            error(io::ErrorKind::PermissionDenied),
            HubError::Write { .. }
        ));
    }
}
