//! The forms in which people have Whisper's weights, and which one a folder or file has.
//!
//! Each reader has two functions: `open` finds its files and reads the small ones ([`Contents`]), `tensors` names what
//! the mapped weight files hold ([`Stored`]). Neither reads values, and neither takes memory on a file's word.

mod hugging_face;

use std::path::{Path, PathBuf};

use super::{
    EmbeddedFiles, LoadError,
    configuration::{ConfigFile, GenerationConfig},
    files::WeightFile,
    stored::Stored,
};

/// How weight files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// safetensors, with the names of transformers.
    Safetensors,
}

impl Form {
    /// What the weight files hold, by transformers' names.
    pub(super) fn tensors(self, files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
        match self {
            Self::Safetensors => hugging_face::tensors(files),
        }
    }
}

/// What the files of a checkpoint say, whatever their form. Weights are mapped, not read.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) form: Form,
    /// The file that `config` was read from, for messages.
    pub(super) config_path: PathBuf,
    pub(super) config: ConfigFile,
    /// What the files say of decoding; `config` fills what is left open.
    pub(super) generation: GenerationConfig,
    /// The text of a `tokenizer.json`, read or [made](super::tokenizer).
    pub(super) tokenizer: Vec<u8>,
    /// In an order that does not change: their checksum is the model's name.
    pub(super) weights: Vec<WeightFile>,
}

/// Reads the small files of a checkpoint and maps its weights.
pub(super) fn open(path: &Path) -> Result<Contents, LoadError> {
    if !path.is_dir() {
        return Err(LoadError::DirectoryMissing {
            path: path.to_owned(),
        });
    }
    hugging_face::open(path)
}

/// As [`open`], for a checkpoint that is part of the program.
pub(super) fn embedded(files: EmbeddedFiles) -> Result<Contents, LoadError> {
    hugging_face::embedded(files)
}
