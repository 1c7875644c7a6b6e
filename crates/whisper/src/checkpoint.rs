//! The files of a checkpoint, checked: configuration, tokenizer and weights.
//!
//! Each [form](forms) in which people have them has a reader; behind it all are the same. The files of Hugging Face's
//! form can be part of the program ([`Checkpoint::embedded`]).

mod configuration;
mod cursor;
mod error;
mod files;
mod folder;
mod forms;
#[cfg(feature = "testing")]
pub mod fuzz;
mod ggml;
mod json;
mod languages;
mod packed;
mod pickle;
mod stored;
mod strided;
mod tensors;
mod tiktoken;
mod tokenizer;

use std::{fmt, io, path::Path};

use candle_transformers::models::whisper::Config;
use sha2::{Digest, Sha256};

pub use configuration::GenerationConfig;
pub use error::LoadError;
#[cfg(feature = "testing")]
pub(crate) use forms::fuzz_ctranslate2;
pub(crate) use languages::{codes, languages};
pub(crate) use packed::{PackedFile, Packing};
pub(crate) use tensors::Tensors;
pub(crate) use tokenizer::{is_timestamp, looks_special};

use files::WeightFile;
use forms::{Contents, Form};

/// A checkpoint of any form: small files parsed, weight files mapped.
#[derive(Debug)]
pub struct Checkpoint {
    origin: String,
    config: Config,
    ties_output: bool,
    generation: GenerationConfig,
    tokenizer: Vec<u8>,
    form: Form,
    weights: Vec<WeightFile>,
}

/// The files of a checkpoint that is part of the program.
#[derive(Clone, Copy)]
pub struct EmbeddedFiles {
    /// What messages call it.
    pub name: &'static str,
    /// `config.json`.
    pub config: &'static [u8],
    /// `generation_config.json`.
    pub generation_config: Option<&'static [u8]>,
    /// `preprocessor_config.json`.
    pub preprocessor_config: Option<&'static [u8]>,
    /// `tokenizer.json`.
    pub tokenizer: &'static [u8],
    /// `model.safetensors`.
    pub weights: &'static [u8],
}

impl Checkpoint {
    /// Reads the small files of a checkpoint and maps its weights.
    ///
    /// # Errors
    /// [`LoadError`], naming the file and what to do.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        Self::assemble(path, forms::open(path)?)
    }

    /// A checkpoint whose files are part of the program.
    ///
    /// # Errors
    /// [`LoadError`] when the files do not fit together.
    pub fn embedded(files: EmbeddedFiles) -> Result<Self, LoadError> {
        Self::assemble(Path::new(files.name), forms::embedded(files)?)
    }

    fn assemble(origin: &Path, contents: Contents) -> Result<Self, LoadError> {
        let Contents {
            config, generation, ..
        } = contents;
        config.check(&contents.config_path)?;
        let generation = config.complete(generation);
        Ok(Self {
            origin: origin.display().to_string(),
            ties_output: config.tie_word_embeddings,
            config: config.into_config(&generation),
            generation,
            tokenizer: contents.tokenizer,
            form: contents.form,
            weights: contents.weights,
        })
    }

    /// The shape of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What decoding needs to know.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// Codes of the languages that can be transcribed; `en` alone for English-only checkpoints. Of the small files alone.
    ///
    /// # Errors
    /// [`LoadError::Tokenizer`] where it cannot be read.
    pub fn languages(&self) -> Result<Vec<String>, LoadError> {
        languages::languages_of(self)
    }

    /// The text of `tokenizer.json`, or what would stand there.
    pub fn tokenizer_json(&self) -> &[u8] {
        &self.tokenizer
    }

    /// Where the checkpoint is, for messages: its directory, or the name of the embedded one.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// SHA-256 over the weight files (shards in the order of their names), in hexadecimal. Reads them all: ask once.
    pub fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for file in &self.weights {
            hasher.update(file.bytes());
        }
        format!("{:x}", hasher.finalize())
    }

    /// Size of the weight files together.
    pub fn weight_bytes(&self) -> u64 {
        self.weights
            .iter()
            .map(|file| file.bytes().len() as u64)
            .sum()
    }

    /// Whether the output matrix is the token embedding.
    pub(crate) fn ties_output(&self) -> bool {
        self.ties_output
    }

    /// The weights as an earlier start packed them; `None` where none did.
    ///
    /// # Errors
    /// [`LoadError::Packed`] for a file that cannot be used.
    pub(crate) fn packed(&self) -> Result<Option<PackedFile>, LoadError> {
        PackedFile::open(&self.weights)
    }

    /// Begins a file of packed weights for later starts; `None` for a checkpoint that is part of the program.
    ///
    /// # Errors
    /// Where the folder of the weights cannot be written to.
    pub(crate) fn begin_packing(&self) -> io::Result<Option<Packing>> {
        Packing::begin(&self.weights)
    }

    /// The tensors by name.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>, LoadError> {
        Tensors::new(self.form, &self.weights)
    }
}

impl fmt::Debug for EmbeddedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedFiles")
            .field("name", &self.name)
            .field("weight_bytes", &self.weights.len())
            .finish_non_exhaustive()
    }
}
