//! The files of a checkpoint: read where they are small, mapped where they hold weights.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use memmap2::Mmap;

use super::LoadError;

/// Weights, from a file or from the program.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    bytes: WeightBytes,
    /// When the file that was opened was last written, since 1970; another may have its name by now.
    changed_ns: u64,
}

#[derive(Debug)]
enum WeightBytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl WeightFile {
    /// `path`: what messages call it.
    pub(super) fn embedded(path: PathBuf, bytes: &'static [u8]) -> Self {
        Self {
            path,
            bytes: WeightBytes::Static(bytes),
            changed_ns: 0,
        }
    }

    /// A file that should be there.
    pub(super) fn map(path: PathBuf) -> Result<Self, LoadError> {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LoadError::FileMissing {
                    path,
                    remedy: "the index names this shard, download the checkpoint again",
                });
            }
            opened => opened,
        };
        match file.and_then(|file| Ok((changed_ns(&file)?, map_file(&file)?))) {
            Ok((changed_ns, mapped)) => {
                refuse_pointer(&path, &mapped)?;
                Ok(Self {
                    path,
                    bytes: WeightBytes::Mapped(mapped),
                    changed_ns,
                })
            }
            Err(source) => Err(LoadError::Read { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// When it was last written, in nanoseconds since 1970.
    pub(super) fn changed_ns(&self) -> u64 {
        self.changed_ns
    }

    /// Whether it is a file, and not part of the program.
    pub(super) fn is_mapped(&self) -> bool {
        matches!(self.bytes, WeightBytes::Mapped(_))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            WeightBytes::Mapped(mapped) => mapped,
            WeightBytes::Static(bytes) => bytes,
        }
    }
}

fn changed_ns(file: &File) -> io::Result<u64> {
    let changed = file.metadata()?.modified()?.duration_since(UNIX_EPOCH);
    let nanoseconds = changed.ok().map(|changed| changed.as_nanos());
    Ok(nanoseconds
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0))
}

/// The one `unsafe` of this crate.
#[expect(
    unsafe_code,
    reason = "weights are mapped so that they are not in memory twice while they are converted"
)]
fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is read-only and private to this process, and only bytes are read from it, for which every
    // bit pattern is valid. What remains is that another process truncates or rewrites the file while it is mapped:
    // model directories are documented as immutable while a server loads from them, and the mapping ends with loading.
    unsafe { Mmap::map(file) }
}

/// A clone of a repository without Git LFS has a few lines of text in the place of each large file.
fn refuse_pointer(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.starts_with(b"version https://git-lfs.github.com/spec/") {
        let path = path.to_owned();
        return Err(LoadError::LfsPointer { path });
    }
    Ok(())
}

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => refuse_pointer(path, &bytes).map(|()| Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
