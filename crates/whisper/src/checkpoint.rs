//! The files of a checkpoint, checked: configuration, tokenizer and weights.
//!
//! The layout is Hugging Face's: `config.json`, `tokenizer.json`, `model.safetensors` (or shards named by
//! `model.safetensors.index.json`), and, missing in old checkpoints, `generation_config.json` and
//! `preprocessor_config.json`. The same files can be part of the program ([`Checkpoint::embedded`]).

mod configuration;
mod error;
mod files;
mod packed;
mod tensors;

use std::{fmt, io, path::Path};

use candle_transformers::models::whisper::Config;
use sha2::{Digest, Sha256};

pub use configuration::GenerationConfig;
pub use error::LoadError;
pub(crate) use packed::{PackedFile, Packing};
pub(crate) use tensors::Tensors;

use configuration::{ConfigFile, PreprocessorFile};
use files::{WeightFile, map_weights, parse, read_if_there, required};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";

/// A checkpoint in Hugging Face's layout: small files parsed, weight files mapped.
#[derive(Debug)]
pub struct Checkpoint {
    origin: String,
    config: Config,
    ties_output: bool,
    generation: GenerationConfig,
    tokenizer: Vec<u8>,
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
    /// Reads the small files of a checkpoint directory and maps its weights.
    ///
    /// # Errors
    /// [`LoadError`], naming the file and what to do.
    pub fn open(directory: &Path) -> Result<Self, LoadError> {
        if !directory.is_dir() {
            return Err(LoadError::DirectoryMissing {
                path: directory.to_owned(),
            });
        }
        let read = |name: &str| read_if_there(&directory.join(name));
        let files = SmallFiles {
            config: required(
                directory,
                CONFIG,
                "the directory should hold a Hugging Face Whisper checkpoint",
            )?,
            generation_config: read(GENERATION_CONFIG)?,
            preprocessor_config: read(PREPROCESSOR_CONFIG)?,
            tokenizer: required(
                directory,
                TOKENIZER,
                "a checkpoint with only vocab.json and merges.txt must be saved again with transformers' fast tokenizer",
            )?,
        };
        let weights = map_weights(directory)?;
        Self::assemble(directory, files, weights)
    }

    /// A checkpoint whose files are part of the program.
    ///
    /// # Errors
    /// [`LoadError`] when the files do not fit together.
    pub fn embedded(files: EmbeddedFiles) -> Result<Self, LoadError> {
        let origin = Path::new(files.name);
        let small = SmallFiles {
            config: files.config.to_vec(),
            generation_config: files.generation_config.map(<[u8]>::to_vec),
            preprocessor_config: files.preprocessor_config.map(<[u8]>::to_vec),
            tokenizer: files.tokenizer.to_vec(),
        };
        let weights = WeightFile::embedded(origin.join(WEIGHTS), files.weights);
        Self::assemble(origin, small, vec![weights])
    }

    fn assemble(
        origin: &Path,
        files: SmallFiles,
        weights: Vec<WeightFile>,
    ) -> Result<Self, LoadError> {
        let config_path = origin.join(CONFIG);
        let config_file: ConfigFile = parse(&config_path, &files.config)?;
        config_file.check(&config_path)?;
        if let Some(bytes) = &files.preprocessor_config {
            let path = origin.join(PREPROCESSOR_CONFIG);
            parse::<PreprocessorFile>(&path, bytes)?.check(&path, &config_file)?;
        } else {
            tracing::debug!(checkpoint = %origin.display(), "no preprocessor_config.json, taking num_mel_bins of config.json");
        }
        let generation = if let Some(bytes) = &files.generation_config {
            parse(&origin.join(GENERATION_CONFIG), bytes)?
        } else {
            tracing::debug!(checkpoint = %origin.display(), "no generation_config.json, taking what config.json says");
            GenerationConfig::default()
        };
        let generation = config_file.complete(generation);
        Ok(Self {
            origin: origin.display().to_string(),
            ties_output: config_file.tie_word_embeddings,
            config: config_file.into_config(&generation),
            generation,
            tokenizer: files.tokenizer,
            weights,
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

    /// The bytes of `tokenizer.json`.
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
        Tensors::new(&self.weights)
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

struct SmallFiles {
    config: Vec<u8>,
    generation_config: Option<Vec<u8>>,
    preprocessor_config: Option<Vec<u8>>,
    tokenizer: Vec<u8>,
}
