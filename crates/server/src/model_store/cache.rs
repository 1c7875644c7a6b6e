//! The folder layout that Hugging Face's tools share, so that a model fetched by one is found by all:
//!
//! ```text
//! models--OWNER--NAME/
//!   blobs/ETAG                    the bytes; ETAG.incomplete while they arrive
//!   refs/REVISION                 text: the commit
//!   snapshots/COMMIT/FILE         link to ../../blobs/ETAG
//!   .no_exist/COMMIT/FILE         empty: the model has no such file
//! .locks/models--OWNER--NAME/ETAG.lock
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::files::{CONFIG, CTRANSLATE2, OPTIONAL, SAFETENSORS, WEIGHTS, WORDS};
use super::{HubId, Revision};

/// The folder of one model.
#[derive(Debug)]
pub(super) struct RepoCache {
    root: PathBuf,
    repo: PathBuf,
    #[cfg_attr(
        not(feature = "hub"),
        expect(dead_code, reason = "only a download locks")
    )]
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(root: &Path, id: &HubId) -> Self {
        Self {
            root: root.to_owned(),
            repo: root.join(id.folder()),
            locks: root.join(".locks").join(id.folder()),
        }
    }

    /// The folder of all models.
    #[cfg_attr(
        feature = "hub",
        expect(dead_code, reason = "for the message of builds without it")
    )]
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that a revision stood for when it was last fetched.
    pub(super) fn commit(&self, revision: &Revision) -> Option<String> {
        if revision.is_commit() {
            return Some(revision.as_str().to_owned());
        }
        let Ok(text) = fs::read_to_string(self.repo.join("refs").join(revision.as_str())) else {
            return self.only_snapshot();
        };
        let commit = text.trim();
        super::args::is_plain(commit).then(|| commit.to_owned())
    }

    /// The commit of a cache that has no references at all, and one snapshot: a copy that was made without them.
    fn only_snapshot(&self) -> Option<String> {
        let has_refs =
            fs::read_dir(self.repo.join("refs")).is_ok_and(|mut refs| refs.next().is_some());
        if has_refs {
            return None;
        }
        let snapshots = fs::read_dir(self.repo.join("snapshots")).ok()?.flatten();
        // Whatever made the copy may have left files of its own beside the folders.
        let mut commits = snapshots
            .filter(|entry| entry.path().is_dir())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| super::args::is_plain(name) && !name.starts_with('.'));
        let only = commits.next()?;
        commits.next().is_none().then_some(only)
    }

    /// The folder with the files of a commit.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.join("snapshots").join(commit)
    }

    /// Whether every file is there without which nothing can be loaded.
    pub(super) fn can_load(&self, commit: &str) -> bool {
        let has = |file: &&str| self.has(commit, file);
        let has_words = WORDS.iter().any(|files| files.iter().all(has));
        let has_weights = WEIGHTS.iter().any(|(one, index)| {
            has(one) || index.is_some_and(|index| self.has_shards(commit, index))
        });
        has(&CONFIG) && has_words && has_weights
    }

    /// Whether nothing is left to ask the hub for.
    pub(super) fn is_whole(&self, commit: &str) -> bool {
        let is_settled = |file: &&str| self.has(commit, file) || self.absent(commit, file).exists();
        let is_ctranslate2 = self.has(commit, CTRANSLATE2) && !self.has(commit, SAFETENSORS);
        self.can_load(commit) && (is_ctranslate2 || OPTIONAL.iter().all(is_settled))
    }

    fn has(&self, commit: &str, file: &str) -> bool {
        // Follows links: a link whose blob is gone is nothing.
        fs::metadata(self.snapshot(commit).join(file))
            .is_ok_and(|found| found.is_file() && found.len() > 0)
    }

    fn has_shards(&self, commit: &str, index: &str) -> bool {
        fs::read(self.snapshot(commit).join(index))
            .ok()
            .and_then(|index| shards(&index))
            .is_some_and(|shards| shards.iter().all(|shard| self.has(commit, shard)))
    }

    fn absent(&self, commit: &str, file: &str) -> PathBuf {
        self.repo.join(".no_exist").join(commit).join(file)
    }
}

#[cfg(feature = "hub")]
mod writing {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::{Path, PathBuf, RepoCache, Revision, fs};

    /// A file that cannot be written.
    pub(in super::super) type WriteError = (PathBuf, io::Error);

    impl RepoCache {
        /// Where the bytes of a file are, or will be.
        pub(in super::super) fn blob(&self, etag: &str) -> PathBuf {
            self.repo.join("blobs").join(etag)
        }

        /// Where its bytes are while they arrive.
        pub(in super::super) fn incomplete(&self, etag: &str) -> PathBuf {
            self.repo.join("blobs").join(format!("{etag}.incomplete"))
        }

        /// Waits until no other process fetches this file; the lock ends with the value.
        pub(in super::super) fn lock(&self, etag: &str) -> Result<fs::File, WriteError> {
            let path = self.locks.join(format!("{etag}.lock"));
            create_parent(&path)?;
            let file = fs::File::create(&path).map_err(|source| (path, source))?;
            if let Err(error) = file.lock() {
                // Some network file systems have no locks; two writers at once are rare there.
                tracing::debug!(%error, "cache without locks");
            }
            Ok(file)
        }

        /// Makes a blob appear as a file of a commit.
        pub(in super::super) fn link(
            &self,
            commit: &str,
            file: &str,
            etag: &str,
        ) -> Result<(), WriteError> {
            let path = self.snapshot(commit).join(file);
            create_parent(&path)?;
            let target = Path::new("../../blobs").join(etag);
            if fs::read_link(&path).is_ok_and(|found| found == target) {
                return Ok(());
            }
            // Made beside it and renamed, so that another process that does the same never finds nothing there.
            let temporary = temporary_beside(&path);
            let made = match std::os::unix::fs::symlink(&target, &temporary) {
                // The blob stays where other commits and other tools look for it.
                Err(error) if has_no_links(&error) => {
                    fs::copy(self.blob(etag), &temporary).map(|_| ())
                }
                made => made,
            };
            made.and_then(|()| fs::rename(&temporary, &path))
                .map_err(|source| {
                    fs::remove_file(&temporary).ok();
                    (path, source)
                })
        }

        /// Remembers that a commit has no such file.
        pub(in super::super) fn mark_absent(
            &self,
            commit: &str,
            file: &str,
        ) -> Result<(), WriteError> {
            let path = self.absent(commit, file);
            create_parent(&path)?;
            fs::write(&path, []).map_err(|source| (path, source))
        }

        /// Remembers what a revision stands for.
        pub(in super::super) fn set_commit(
            &self,
            revision: &Revision,
            commit: &str,
        ) -> Result<(), WriteError> {
            if revision.is_commit() {
                return Ok(());
            }
            let path = self.repo.join("refs").join(revision.as_str());
            create_parent(&path)?;
            fs::write(&path, commit).map_err(|source| (path, source))
        }
    }

    /// A name that no other process or thread makes up at the same time.
    fn temporary_beside(path: &Path) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let moment = now.map_or(0, |now| now.as_nanos());
        // Containers that share a folder all have process 1.
        let name = format!(".{}.{moment:x}.{count}", std::process::id());
        path.with_file_name(name)
    }

    /// Whether a file system has no symbolic links, as FAT and some network file systems.
    fn has_no_links(error: &io::Error) -> bool {
        use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
        matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
    }

    pub(in super::super) fn create_parent(path: &Path) -> Result<(), WriteError> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        fs::create_dir_all(parent).map_err(|source| (parent.to_owned(), source))
    }
}

#[cfg(feature = "hub")]
pub(super) use writing::{WriteError, create_parent};

/// The files that an index names; `None` when it is no index, or names something that is not a plain
/// file beside it.
pub(super) fn shards(index: &[u8]) -> Option<BTreeSet<String>> {
    let index: serde_json::Value = serde_json::from_slice(index).ok()?;
    let map = index.get("weight_map")?.as_object()?;
    let shards: BTreeSet<String> = map
        .values()
        .map(|shard| {
            let shard = shard.as_str()?;
            super::args::is_plain(shard).then(|| shard.to_owned())
        })
        .collect::<Option<_>>()?;
    (!shards.is_empty()).then_some(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENIZER: &str = WORDS[0][0];
    const COMMIT: &str = "0123456789012345678901234567890123456789";

    fn cache() -> (tempfile::TempDir, RepoCache) {
        let root = tempfile::tempdir().unwrap();
        let id = HubId::parse("o/n").unwrap();
        let cache = RepoCache::new(root.path(), &id);
        (root, cache)
    }

    fn put(cache: &RepoCache, file: &str, text: &str) {
        let folder = cache.snapshot(COMMIT);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
    }

    #[test]
    fn a_cache_is_whole_when_nothing_is_left_to_ask_for() {
        let (_root, cache) = cache();
        for file in [CONFIG, TOKENIZER, SAFETENSORS] {
            assert!(!cache.can_load(COMMIT), "before {file}");
            put(&cache, file, "x");
        }
        assert!(cache.can_load(COMMIT) && !cache.is_whole(COMMIT));
        put(&cache, OPTIONAL[0], "x");
        let marker = cache.absent(COMMIT, OPTIONAL[1]);
        fs::create_dir_all(marker.parent().unwrap()).unwrap();
        fs::write(marker, "").unwrap();
        assert!(cache.is_whole(COMMIT));
    }

    #[test]
    fn a_cache_that_faster_whisper_filled_is_whole() {
        let (_root, cache) = cache();
        for file in [CONFIG, CTRANSLATE2] {
            put(&cache, file, "x");
        }
        assert!(!cache.can_load(COMMIT), "without words");
        put(&cache, "vocabulary.txt", "x");
        assert!(cache.is_whole(COMMIT));
    }

    #[test]
    fn words_may_be_in_two_files() {
        let (_root, cache) = cache();
        for file in [CONFIG, SAFETENSORS, "vocab.json"] {
            put(&cache, file, "x");
        }
        assert!(!cache.can_load(COMMIT));
        put(&cache, "merges.txt", "x");
        assert!(cache.can_load(COMMIT));
    }

    #[test]
    fn an_empty_file_or_a_link_to_nothing_is_missing() {
        let (_root, cache) = cache();
        for file in [CONFIG, TOKENIZER] {
            put(&cache, file, "x");
        }
        put(&cache, SAFETENSORS, "");
        assert!(!cache.can_load(COMMIT));
        let path = cache.snapshot(COMMIT).join(SAFETENSORS);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../../blobs/gone", &path).unwrap();
        assert!(!cache.can_load(COMMIT));
    }

    #[test]
    fn every_shard_must_be_there() {
        let (_root, cache) = cache();
        for file in [CONFIG, TOKENIZER, "a.safetensors"] {
            put(&cache, file, "x");
        }
        let index = r#"{"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}"#;
        put(&cache, WEIGHTS[0].1.unwrap(), index);
        assert!(!cache.can_load(COMMIT));
        put(&cache, "b.safetensors", "x");
        assert!(cache.can_load(COMMIT));
    }

    /// Two servers that start on one cache fetch the same model at the same time.
    #[cfg(feature = "hub")]
    #[test]
    fn a_file_that_many_link_at_once_keeps_its_shared_bytes() {
        let (_root, cache) = cache();
        let blob = cache.blob("etag");
        writing::create_parent(&blob).unwrap();
        fs::write(&blob, "bytes").unwrap();
        let path = cache.snapshot(COMMIT).join(CONFIG);
        for round in 0..50 {
            // Sometimes another content was there before.
            if round % 2 == 0 {
                fs::remove_file(&path).ok();
            } else {
                fs::remove_file(&path).unwrap();
                fs::write(&path, "of before").unwrap();
            }
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| cache.link(COMMIT, CONFIG, "etag").unwrap());
                }
            });
            assert_eq!(fs::read_link(&path).unwrap(), Path::new("../../blobs/etag"));
            assert_eq!(fs::read_to_string(&path).unwrap(), "bytes");
            assert_eq!(fs::read_to_string(&blob).unwrap(), "bytes");
        }
        let left = fs::read_dir(cache.snapshot(COMMIT)).unwrap().count();
        assert_eq!(left, 1, "nothing else is left");
    }

    #[test]
    fn a_copied_cache_may_have_other_files_and_an_empty_folder_of_references() {
        let (_root, cache) = cache();
        put(&cache, CONFIG, "x");
        fs::write(cache.repo.join("snapshots/.DS_Store"), "x").unwrap();
        fs::create_dir_all(cache.repo.join("refs")).unwrap();
        let main: Revision = "main".parse().unwrap();
        assert_eq!(cache.commit(&main).unwrap(), COMMIT);
        fs::create_dir_all(cache.snapshot("another")).unwrap();
        assert_eq!(cache.commit(&main), None, "which of two is not known");
    }

    #[test]
    fn an_index_cannot_name_other_folders() {
        assert_eq!(
            shards(br#"{"weight_map": {"x": "../../etc/passwd"}}"#),
            None
        );
        assert_eq!(shards(br#"{"weight_map": {}}"#), None);
        assert_eq!(shards(b"{}"), None);
    }

    #[test]
    fn a_commit_names_itself_and_a_branch_its_reference() {
        let (_root, cache) = cache();
        let main: Revision = "main".parse().unwrap();
        assert_eq!(cache.commit(&main), None);
        put(&cache, CONFIG, "x");
        assert_eq!(
            cache.commit(&main).unwrap(),
            COMMIT,
            "without refs, one snapshot"
        );
        assert_eq!(cache.commit(&COMMIT.parse().unwrap()).unwrap(), COMMIT);
        let refs = cache.repo.join("refs");
        fs::create_dir_all(&refs).unwrap();
        fs::write(refs.join("main"), format!("{COMMIT}\n")).unwrap();
        assert_eq!(cache.commit(&main).unwrap(), COMMIT);
        fs::write(refs.join("main"), "../../elsewhere").unwrap();
        assert_eq!(cache.commit(&main), None);
    }
}
