//! The forms in which people have Whisper's weights, and which one a folder or file has.
//!
//! Each reader has two functions: `open` finds its files and reads the small ones ([`Contents`]), `tensors` names what
//! the mapped weight files hold ([`Stored`]). Neither reads values, and neither takes memory on a file's word.

mod ctranslate2;
mod hugging_face;
mod lone;
mod openai_names;
mod openai_words;
mod pytorch;
mod whisper_cpp;

use std::path::{Path, PathBuf};

use super::{
    EmbeddedFiles, LoadError,
    configuration::{ConfigFile, GenerationConfig},
    files::WeightFile,
    folder::{self, Folder},
    stored::Stored,
};

const NO_WEIGHTS: &str = "the folder has no weights of a form that is read, neither model.safetensors, nor pytorch_model.bin, nor model.bin of CTranslate2, nor one file of OpenAI's or whisper.cpp's";

#[cfg(feature = "testing")]
pub(crate) use ctranslate2::fuzz as fuzz_ctranslate2;

/// How weight files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// safetensors, with the names of transformers.
    Safetensors,
    /// CTranslate2's `model.bin`.
    CTranslate2,
    /// Files of `torch.save`, with the names of transformers or of OpenAI.
    PyTorch,
    /// ggml files of whisper.cpp.
    WhisperCpp,
}

impl Form {
    /// What the weight files hold, by transformers' names.
    pub(super) fn tensors(self, files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
        match self {
            Self::Safetensors => hugging_face::tensors(files),
            Self::CTranslate2 => ctranslate2::tensors(files),
            Self::PyTorch => pytorch::tensors(files),
            Self::WhisperCpp => whisper_cpp::tensors(files),
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

/// Reads the small files of a checkpoint and maps its weights. `path`: a folder, or the file of the weights.
pub(super) fn open(path: &Path) -> Result<Contents, LoadError> {
    if path.is_file() {
        return open_file(path);
    }
    if !path.is_dir() {
        return Err(LoadError::DirectoryMissing {
            path: path.to_owned(),
        });
    }
    if let Some(contents) = open_folder(Folder::new(path))? {
        return Ok(contents);
    }
    let mut found = Vec::new();
    for inner in folder::of_trainer(path)? {
        if let Some(contents) = open_folder(Folder::within(&inner, path))? {
            found.push((inner, contents));
        }
    }
    let names: Vec<String> = found
        .iter()
        .filter_map(|(inner, _)| Some(inner.file_name()?.to_string_lossy().into_owned()))
        .collect();
    match found.pop() {
        None => Err(LoadError::FileMissing {
            path: path.join("model.safetensors"),
            remedy: NO_WEIGHTS,
        }),
        Some((_, contents)) if found.is_empty() => Ok(contents),
        Some(_) => Err(LoadError::Several {
            path: path.to_owned(),
            what: "checkpoints",
            found: names.join(", "),
        }),
    }
}

/// `None` where a folder has no weights.
fn open_folder(folder: Folder<'_>) -> Result<Option<Contents>, LoadError> {
    if let Some(contents) = hugging_face::open(folder)? {
        return Ok(Some(contents));
    }
    if let Some(contents) = pytorch::open(folder)? {
        return Ok(Some(contents));
    }
    let weights = folder.path().join(ctranslate2::WEIGHTS);
    if weights.exists() {
        return ctranslate2::open(&weights).map(Some);
    }
    let lone = lone::find(folder.path())?;
    lone.map(|path| open_file(&path)).transpose()
}

/// A file of weights, with the small files of its folder.
fn open_file(path: &Path) -> Result<Contents, LoadError> {
    let file = WeightFile::map(path.to_owned())?;
    let beside = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = Folder::new(beside.unwrap_or_else(|| Path::new(".")));
    if hugging_face::is(file.bytes()) {
        return hugging_face::assemble(folder, Form::Safetensors, vec![file]);
    }
    if ctranslate2::is(file.bytes()) {
        return ctranslate2::open(path);
    }
    if pytorch::is(file.bytes()) {
        return pytorch::open_file(folder, file);
    }
    if whisper_cpp::is(file.bytes()) {
        return whisper_cpp::open(file);
    }
    Err(LoadError::NotServed {
        path: path.to_owned(),
        what: kind_of(file.bytes()),
        remedy: "give the folder of a Whisper checkpoint, or one of its weight files",
    })
}

/// What a file that holds no weights of Whisper is, by how it begins.
fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "empty",
        [b'G', b'G', b'U', b'F', ..] => "a GGUF file, which is a language model's",
        [b'{' | b'[', ..] => "a JSON file, not weights",
        [0x1F, 0x8B, ..] => "a compressed archive",
        _ => "no file of weights that is read",
    }
}

/// As [`open`], for a checkpoint that is part of the program.
pub(super) fn embedded(files: EmbeddedFiles) -> Result<Contents, LoadError> {
    hugging_face::embedded(files)
}
