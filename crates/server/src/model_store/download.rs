//! Every file that a hub model needs.

use std::fs;

use super::cache::{RepoCache, shards};
use super::files::{ADDED, CONFIG, CTRANSLATE2, OPTIONAL, WEIGHTS, WORDS};
use super::hub::{Hub, RemoteFile, start};
use super::hub_error::{HubError, unwritten};
use super::progress::Progress;
use super::{HubArgs, HubId, Patience, Report, Revision};

/// Fetches what is missing of a model; returns its commit.
///
/// Runs on a thread of its own, so that it can be called from anywhere.
pub(super) fn download(
    id: &HubId,
    args: &HubArgs,
    cache: &RepoCache,
    revision: &Revision,
    patience: Patience,
    report: Report,
) -> Result<String, HubError> {
    let hub = Hub::new(id, args, cache, patience)?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("model-download".to_owned());
        let fetch = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(start)?;
            let fetched = hub.fetch(revision, report);
            let Some(limit) = patience.limit() else {
                return runtime.block_on(fetched);
            };
            let slow = || HubError::Slow {
                endpoint: args.endpoint().to_owned(),
                limit,
            };
            let limited = async { tokio::time::timeout(limit, fetched).await };
            runtime.block_on(limited).unwrap_or_else(|_| Err(slow()))
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
        let mut files = vec![config];
        files.extend(self.words(&commit).await?);
        let weights = self.weights(&commit).await?;
        if weights.iter().all(|file| file.name != CTRANSLATE2) {
            files.extend(self.optional(&commit).await?);
        }
        files.extend(weights);

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

    /// The files of the first kind that the model has whole.
    async fn words(&self, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        for names in WORDS {
            let mut files = Vec::new();
            for name in names {
                files.extend(self.ask(commit, name).await?);
            }
            if files.len() == names.len() {
                if names.len() > 1 {
                    files.extend(self.ask(commit, ADDED).await?);
                }
                return Ok(files);
            }
        }
        Err(HubError::NoFile {
            id: self.id.clone(),
            file: WORDS[0][0],
            remedy: "use a checkpoint that has it, or vocab.json and merges.txt, or CTranslate2's vocabulary",
        })
    }

    /// Files that some checkpoints lack.
    async fn optional(&self, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        let mut files = Vec::new();
        for name in OPTIONAL {
            match self.ask(commit, name).await? {
                Some(file) => files.push(file),
                None => self.cache.mark_absent(commit, name).map_err(unwritten)?,
            }
        }
        Ok(files)
    }

    /// The weight files: one, or an index and what it names.
    async fn weights(&self, commit: &str) -> Result<Vec<RemoteFile>, HubError> {
        for (one, index) in WEIGHTS {
            if let Some(file) = self.ask(commit, one).await? {
                return Ok(vec![file]);
            }
            if let Some(index) = index
                && let Some(file) = self.ask(commit, index).await?
            {
                return self.shards(commit, &file).await;
            }
        }
        Err(HubError::NoFile {
            id: self.id.clone(),
            file: WEIGHTS[0].0,
            remedy: "use a checkpoint with weights in safetensors, of CTranslate2 (model.bin) or of PyTorch",
        })
    }

    /// What an index names. The index itself is fetched at once.
    async fn shards(&self, commit: &str, index: &RemoteFile) -> Result<Vec<RemoteFile>, HubError> {
        let mut silent = Progress::silent();
        self.bring(commit, index, &mut silent).await?;
        let path = self.cache.snapshot(commit).join(&index.name);
        let wrong = || HubError::Index {
            id: self.id.clone(),
        };
        let names = fs::read(path).ok().and_then(|text| shards(&text));
        let mut files = Vec::new();
        for name in names.ok_or_else(wrong)? {
            files.push(self.ask(commit, &name).await?.ok_or_else(wrong)?);
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
