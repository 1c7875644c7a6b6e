//! Every file that a hub model needs.

use std::fs;

use super::cache::{CONFIG, OPTIONAL, RepoCache, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, shards};
use super::hub::{Hub, RemoteFile, start};
use super::hub_error::{HubError, unwritten};
use super::progress::Progress;
use super::{HubArgs, HubId, Report, Revision};

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

impl Hub<'_> {
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
}
