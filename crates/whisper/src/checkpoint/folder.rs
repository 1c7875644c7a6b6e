//! Where the files of a checkpoint lie: in one folder, or beside it where a trainer has put some of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{LoadError, files::read_if_there};

/// The folder of the weights, and the one above where that may have small files too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folder<'a> {
    path: &'a Path,
    above: Option<&'a Path>,
}

impl<'a> Folder<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, above: None }
    }

    /// `path`: a folder within `above`.
    pub(super) fn within(path: &'a Path, above: &'a Path) -> Self {
        Self {
            path,
            above: Some(above),
        }
    }

    /// The folder of the weights.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// A small file, and where it was found.
    pub(super) fn read(&self, name: &str) -> Result<Option<(PathBuf, Vec<u8>)>, LoadError> {
        for folder in [Some(self.path), self.above].into_iter().flatten() {
            let path = folder.join(name);
            if let Some(bytes) = read_if_there(&path)? {
                return Ok(Some((path, bytes)));
            }
        }
        Ok(None)
    }

    /// As [`Folder::read`], for a file that must be there.
    pub(super) fn required(
        &self,
        name: &str,
        remedy: &'static str,
    ) -> Result<(PathBuf, Vec<u8>), LoadError> {
        let path = || self.path.join(name);
        self.read(name)?.ok_or_else(|| LoadError::FileMissing {
            path: path(),
            remedy,
        })
    }
}

/// The names of what lies in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, LoadError> {
    let list = || -> io::Result<Vec<String>> {
        let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
        let names = entries.map(|name| name.map(|name| name.to_string_lossy().into_owned()));
        names.collect()
    };
    let mut names = list().map_err(|source| LoadError::Read {
        path: folder.to_owned(),
        source,
    })?;
    names.sort_unstable();
    Ok(names)
}

/// The folders `checkpoint-N` in which a trainer keeps what it has so far.
pub(super) fn of_trainer(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_ours = |name: &String| name.strip_prefix("checkpoint-").is_some_and(is_number);
    let found = names(folder)?.into_iter().filter(is_ours);
    let found = found.map(|name| folder.join(name));
    Ok(found.filter(|path| path.is_dir()).collect())
}
