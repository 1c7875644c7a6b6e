//! The bytes of a file, with resumption: what arrives is kept as `ETAG.incomplete`, and a download
//! that was cut off, in this run or an earlier one, goes on from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use reqwest::{StatusCode, header};
use sha2::{Digest, Sha256};

use super::cache::create_parent;
use super::headers::range_start;
use super::hub::{Hub, PAUSE, RemoteFile, TRIES};
use super::hub_error::{HubError, unwritten, unwritten_of};
use super::progress::Progress;

impl Hub<'_> {
    /// Makes a file of the commit be there, whole.
    pub(super) async fn bring(
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
