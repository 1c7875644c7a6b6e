//! The files of a checkpoint: read where they are small, mapped where they hold weights.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use memmap2::Mmap;
use serde::{Deserialize, de::DeserializeOwned};

use super::LoadError;

const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// Weights, from a file or from the program.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    bytes: WeightBytes,
}

#[derive(Debug)]
enum WeightBytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl WeightFile {
    /// `path`: what messages call it.
    pub(super) fn embedded(path: PathBuf, bytes: &'static [u8]) -> Self {
        let bytes = WeightBytes::Static(bytes);
        Self { path, bytes }
    }

    fn map(path: PathBuf) -> Result<Self, LoadError> {
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LoadError::FileMissing {
                    path,
                    remedy: "the index names this shard, download the checkpoint again",
                });
            }
            opened => opened,
        };
        match file.and_then(|file| map_file(&file)) {
            Ok(mapped) => Ok(Self {
                path,
                bytes: WeightBytes::Mapped(mapped),
            }),
            Err(source) => Err(LoadError::Read { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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

pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

pub(super) fn required(
    directory: &Path,
    name: &str,
    remedy: &'static str,
) -> Result<Vec<u8>, LoadError> {
    let path = directory.join(name);
    read_if_there(&path)?.ok_or(LoadError::FileMissing { path, remedy })
}

pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(bytes).map_err(|source| LoadError::Json {
        path: path.to_owned(),
        source,
    })
}

/// The single file if it is there, else the shards that the index names, in the order of their names.
pub(super) fn map_weights(directory: &Path) -> Result<Vec<WeightFile>, LoadError> {
    let single = directory.join(WEIGHTS);
    if single.exists() {
        return Ok(vec![WeightFile::map(single)?]);
    }
    let index_path = directory.join(WEIGHTS_INDEX);
    let Some(bytes) = read_if_there(&index_path)? else {
        return Err(LoadError::FileMissing {
            path: single,
            remedy: "weights are read from safetensors only, convert a checkpoint of another format with transformers' save_pretrained",
        });
    };
    let index: IndexFile = parse(&index_path, &bytes)?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    shards
        .into_iter()
        .map(|shard| {
            // The index is data: it must not lead out of its directory.
            if Path::new(&shard).file_name() != Some(shard.as_ref()) {
                return Err(LoadError::ShardName {
                    path: index_path.clone(),
                    shard,
                });
            }
            WeightFile::map(directory.join(shard))
        })
        .collect()
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: HashMap<String, String>,
}
