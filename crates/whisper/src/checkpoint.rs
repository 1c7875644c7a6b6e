//! The files of a checkpoint, checked: configuration, tokenizer and weights.
//!
//! The layout is Hugging Face's: `config.json`, `tokenizer.json`, `model.safetensors` (or shards named by
//! `model.safetensors.index.json`), and, missing in old checkpoints, `generation_config.json` and
//! `preprocessor_config.json`. The same files can be part of the program ([`Checkpoint::embedded`]).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use candle_transformers::models::whisper::Config;
use half::{bf16, f16, slice::HalfFloatSliceExt};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";

/// Largest value that a size in `config.json` may have: far above any Whisper, small enough that no product of two
/// of them overflows.
const LARGEST_SIZE: usize = 1 << 24;

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

/// What `generation_config.json` says, as far as decoding uses it. What it does not say is taken from `config.json`
/// where that knows it, and is `None` otherwise.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// `<|en|>` → token, for multilingual checkpoints.
    pub lang_to_id: Option<BTreeMap<String, u32>>,
    /// `transcribe`, `translate` → token.
    pub task_to_id: Option<BTreeMap<String, u32>>,
    /// Whether the checkpoint knows languages other than English.
    pub is_multilingual: Option<bool>,
    /// `<|startoftranscript|>`.
    pub decoder_start_token_id: Option<u32>,
    /// `<|endoftext|>`.
    pub eos_token_id: Option<u32>,
    /// `<|notimestamps|>`.
    pub no_timestamps_token_id: Option<u32>,
    /// `<|startofprev|>`.
    pub prev_sot_token_id: Option<u32>,
    /// Tokens that are never chosen; −1 stands for the reference's default list.
    pub suppress_tokens: Option<Vec<i64>>,
    /// Tokens that are never chosen first.
    pub begin_suppress_tokens: Option<Vec<i64>>,
    /// The first timestamp is at most this many steps of 20 ms after the start.
    pub max_initial_timestamp_index: Option<u32>,
    /// Longest token sequence, prompt included.
    pub max_length: Option<usize>,
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

/// A checkpoint that cannot be loaded. Every variant names the file and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The directory is not there.
    #[error("model directory {} does not exist: check the path, or download the model first", path.display())]
    DirectoryMissing {
        /// The path asked for.
        path: PathBuf,
    },

    /// A file that every checkpoint has is not there.
    #[error("{} is missing: {remedy}", path.display())]
    FileMissing {
        /// Where it should be.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },

    /// A file is there but cannot be read.
    #[error("{} cannot be read: check its permissions and the disk", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file is not the JSON that it should be.
    #[error("{} is not valid: download the checkpoint again", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },

    /// A value in a configuration file that this program cannot serve.
    #[error("{} says {field} is {found}, which should be {expected}: use a Whisper checkpoint that says so", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What is possible.
        expected: String,
    },

    /// The index of the shards names something that is not a file of the same directory.
    #[error("{} names the shard {shard:?}, which is not a plain file name: download the checkpoint again", path.display())]
    ShardName {
        /// The index file.
        path: PathBuf,
        /// What it names.
        shard: String,
    },

    /// A weight file whose header cannot be understood, or which is cut short.
    #[error("{} is not a whole safetensors file: download it again", path.display())]
    Header {
        /// The weight file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },

    /// A tensor that the configuration asks for is in no weight file.
    #[error("{} has no tensor {tensor}: the weights and config.json belong to different models, or the file is no Whisper checkpoint", path.display())]
    TensorMissing {
        /// The (first) weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },

    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor {tensor} has shape {found:?}, config.json asks for {expected:?}: take both files from one checkpoint", path.display())]
    TensorShape {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// In the file.
        found: Vec<usize>,
    },

    /// A tensor has a number type that is not read.
    #[error("{}: tensor {tensor} holds {found:?}: use a checkpoint in f32, f16 or bf16", path.display())]
    TensorType {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// In the file.
        found: Dtype,
    },

    /// A weight is NaN or infinite.
    #[error("{}: tensor {tensor} holds {found} at index {index}: the file is damaged or its training failed, use another checkpoint", path.display())]
    NotFinite {
        /// The weight file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Flat index of the first such weight.
        index: usize,
        /// The value.
        found: f32,
    },

    /// The weights do not fit on the device, or it failed.
    #[error("tensor {tensor} cannot be put on the device: check its free memory")]
    Device {
        /// The tensor.
        tensor: String,
        /// What Candle said.
        source: candle_core::Error,
    },

    /// There is no such device.
    #[error("the device cannot be opened")]
    NoDevice {
        /// Which, and why.
        source: crate::device::DeviceError,
    },

    /// A weight that f16 cannot hold.
    #[error(
        "tensor {tensor} holds {found} at index {index}, which f16 cannot hold: take the precision f32"
    )]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Flat index of the first such weight.
        index: usize,
        /// The value.
        found: f32,
    },

    /// A precision that the device does not have.
    #[error(
        "{device} cannot compute in {precision}: int8 is for the CPU and f16 for a GPU, f32 and auto are for both"
    )]
    Precision {
        /// The device.
        device: String,
        /// The precision asked for.
        precision: &'static str,
    },

    /// `tokenizer.json` cannot be read.
    #[error(
        "tokenizer.json of {origin} cannot be read: take the file that belongs to the checkpoint"
    )]
    Tokenizer {
        /// Directory or name of the checkpoint.
        origin: String,
        /// What the tokenizer said.
        source: tokenizers::Error,
    },

    /// A token without which nothing can be decoded is not named anywhere.
    #[error(
        "neither tokenizer.json nor generation_config.json of {origin} has the token {token}: is it a Whisper checkpoint?"
    )]
    SpecialTokenMissing {
        /// Directory or name of the checkpoint.
        origin: String,
        /// The token.
        token: &'static str,
    },

    /// The threads for the model cannot be started.
    #[error("threads for the model cannot be started")]
    Threads {
        /// What rayon said.
        source: rayon::ThreadPoolBuildError,
    },
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
        let weights = WeightFile {
            path: origin.join(WEIGHTS),
            bytes: WeightBytes::Static(files.weights),
        };
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

/// The tensors of a checkpoint by the names of transformers' `WhisperForConditionalGeneration`, without `model.`.
pub(crate) struct Tensors<'a> {
    views: HashMap<String, (&'a Path, TensorView<'a>)>,
    first_file: &'a Path,
    values_read: AtomicU64,
    /// `model.` where the checkpoint was saved with its output head, empty where it was saved without.
    prefix: &'static str,
}

impl<'a> Tensors<'a> {
    fn new(files: &'a [WeightFile]) -> Result<Self, LoadError> {
        let mut views = HashMap::new();
        for file in files {
            let header =
                SafeTensors::deserialize(file.bytes()).map_err(|source| LoadError::Header {
                    path: file.path.clone(),
                    source,
                })?;
            for (name, view) in header.tensors() {
                views.insert(name, (file.path.as_path(), view));
            }
        }
        let with_prefix = views.keys().any(|name| name.starts_with("model."));
        Ok(Self {
            views,
            values_read: AtomicU64::new(0),
            first_file: files
                .first()
                .map_or_else(|| Path::new(WEIGHTS), |file| &file.path),
            prefix: if with_prefix { "model." } else { "" },
        })
    }

    /// The values of `name` as f32, row-major, after checking shape and finiteness.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        self.read_stored(&format!("{}{name}", self.prefix), shape)
    }

    /// As [`Tensors::read`], for a tensor outside of the `model.` prefix.
    pub(crate) fn read_stored(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let tensor = || name.to_owned();
        let Some((path, view)) = self.views.get(name) else {
            return Err(LoadError::TensorMissing {
                path: self.first_file.to_owned(),
                tensor: tensor(),
            });
        };
        let path = || path.to_path_buf();
        if view.shape() != shape {
            return Err(LoadError::TensorShape {
                path: path(),
                tensor: tensor(),
                expected: shape.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        let values = to_f32(view).ok_or_else(|| LoadError::TensorType {
            path: path(),
            tensor: tensor(),
            found: view.dtype(),
        })?;
        // Without an early end the loop becomes vector instructions; a damaged file is the rare case.
        let all_finite = values
            .iter()
            .fold(true, |finite, value| finite & value.is_finite());
        if !all_finite {
            let index = values.iter().take_while(|value| value.is_finite()).count();
            return Err(LoadError::NotFinite {
                path: path(),
                tensor: tensor(),
                index,
                found: values.get(index).copied().unwrap_or(f32::NAN),
            });
        }
        self.values_read
            .fetch_add(values.len() as u64, Ordering::Relaxed);
        Ok(values)
    }

    /// Number of values handed out so far.
    pub(crate) fn values_read(&self) -> u64 {
        self.values_read.load(Ordering::Relaxed)
    }

    /// Length of the first dimension of `name`, which config.json may not say (the feed-forward width).
    pub(crate) fn rows(&self, name: &str) -> Result<usize, LoadError> {
        let name = format!("{}{name}", self.prefix);
        self.views
            .get(&name)
            .and_then(|(_, view)| view.shape().first().copied())
            .ok_or_else(|| LoadError::TensorMissing {
                path: self.first_file.to_owned(),
                tensor: name,
            })
    }
}

/// `None` for a number type that is not read.
fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => Some(
            bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        ),
        Dtype::F16 => Some(widen(bytes, f16::from_le_bytes, |from, to| {
            from.convert_to_f32_slice(to);
        })),
        Dtype::BF16 => Some(widen(bytes, bf16::from_le_bytes, |from, to| {
            from.convert_to_f32_slice(to);
        })),
        _ => None,
    }
}

/// Widens 16-bit values in pieces that stay in the cache: the vector conversion of `half` wants them aligned.
fn widen<T>(bytes: &[u8], read: fn([u8; 2]) -> T, convert: impl Fn(&[T], &mut [f32])) -> Vec<f32> {
    const PIECE: usize = 4096;
    let mut values = vec![0.0; bytes.len() / 2];
    let mut narrow = Vec::with_capacity(PIECE);
    for (from, to) in bytes.chunks(2 * PIECE).zip(values.chunks_mut(PIECE)) {
        narrow.clear();
        narrow.extend(from.chunks_exact(2).map(|b| read([b[0], b[1]])));
        convert(&narrow, to);
    }
    values
}

struct SmallFiles {
    config: Vec<u8>,
    generation_config: Option<Vec<u8>>,
    preprocessor_config: Option<Vec<u8>>,
    tokenizer: Vec<u8>,
}

#[derive(Debug)]
struct WeightFile {
    path: PathBuf,
    bytes: WeightBytes,
}

#[derive(Debug)]
enum WeightBytes {
    Mapped(Mmap),
    Static(&'static [u8]),
}

impl WeightFile {
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

    fn bytes(&self) -> &[u8] {
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

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn required(directory: &Path, name: &str, remedy: &'static str) -> Result<Vec<u8>, LoadError> {
    let path = directory.join(name);
    read_if_there(&path)?.ok_or(LoadError::FileMissing { path, remedy })
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(bytes).map_err(|source| LoadError::Json {
        path: path.to_owned(),
        source,
    })
}

/// The single file if it is there, else the shards that the index names, in the order of their names.
fn map_weights(directory: &Path) -> Result<Vec<WeightFile>, LoadError> {
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

/// `config.json`, more forgiving than Candle's own type: lists may be null and may hold −1.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    activation_function: Option<String>,
    num_mel_bins: usize,
    max_source_positions: usize,
    d_model: usize,
    encoder_attention_heads: usize,
    encoder_layers: usize,
    vocab_size: usize,
    max_target_positions: usize,
    decoder_attention_heads: usize,
    decoder_layers: usize,
    #[serde(default = "tied")]
    tie_word_embeddings: bool,
    #[serde(default)]
    decoder_start_token_id: Option<u32>,
    #[serde(default)]
    eos_token_id: Option<u32>,
    #[serde(default)]
    suppress_tokens: Option<Vec<i64>>,
    #[serde(default)]
    begin_suppress_tokens: Option<Vec<i64>>,
    #[serde(default)]
    max_length: Option<usize>,
}

/// Whisper ties its output matrix unless it says otherwise.
fn tied() -> bool {
    true
}

impl ConfigFile {
    fn check(&self, path: &Path) -> Result<(), LoadError> {
        let refuse = |field, found: String, expected: &str| {
            Err(LoadError::Value {
                path: path.to_owned(),
                field,
                found,
                expected: expected.to_owned(),
            })
        };
        match self.model_type.as_deref() {
            None | Some("whisper") => {}
            Some(other) => return refuse("model_type", other.to_owned(), "whisper"),
        }
        match self.activation_function.as_deref() {
            None | Some("gelu") => {}
            Some(other) => return refuse("activation_function", other.to_owned(), "gelu"),
        }
        for (field, size) in self.sizes() {
            if size == 0 || size > LARGEST_SIZE {
                return refuse(field, size.to_string(), "a size between 1 and 16 million");
            }
        }
        for (field, heads) in [
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("decoder_attention_heads", self.decoder_attention_heads),
        ] {
            if !self.d_model.is_multiple_of(heads) {
                return refuse(field, heads.to_string(), "a divisor of d_model");
            }
        }
        Ok(())
    }

    fn sizes(&self) -> [(&'static str, usize); 9] {
        [
            ("num_mel_bins", self.num_mel_bins),
            ("max_source_positions", self.max_source_positions),
            ("d_model", self.d_model),
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("encoder_layers", self.encoder_layers),
            ("vocab_size", self.vocab_size),
            ("max_target_positions", self.max_target_positions),
            ("decoder_attention_heads", self.decoder_attention_heads),
            ("decoder_layers", self.decoder_layers),
        ]
    }

    /// Fills what `generation_config.json` left open.
    fn complete(&self, said: GenerationConfig) -> GenerationConfig {
        GenerationConfig {
            decoder_start_token_id: said.decoder_start_token_id.or(self.decoder_start_token_id),
            eos_token_id: said.eos_token_id.or(self.eos_token_id),
            suppress_tokens: said
                .suppress_tokens
                .or_else(|| self.suppress_tokens.clone()),
            begin_suppress_tokens: said
                .begin_suppress_tokens
                .or_else(|| self.begin_suppress_tokens.clone()),
            max_length: said.max_length.or(self.max_length),
            ..said
        }
    }

    fn into_config(self, generation: &GenerationConfig) -> Config {
        let suppressed = generation.suppress_tokens.iter().flatten();
        Config {
            num_mel_bins: self.num_mel_bins,
            max_source_positions: self.max_source_positions,
            d_model: self.d_model,
            encoder_attention_heads: self.encoder_attention_heads,
            encoder_layers: self.encoder_layers,
            vocab_size: self.vocab_size,
            max_target_positions: self.max_target_positions,
            decoder_attention_heads: self.decoder_attention_heads,
            decoder_layers: self.decoder_layers,
            suppress_tokens: suppressed
                .filter_map(|token| u32::try_from(*token).ok())
                .collect(),
        }
    }
}

/// `preprocessor_config.json`: read only to refuse a checkpoint that wants another spectrogram than Whisper's.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PreprocessorFile {
    feature_size: Option<usize>,
    sampling_rate: Option<usize>,
    n_fft: Option<usize>,
    hop_length: Option<usize>,
}

impl PreprocessorFile {
    fn check(&self, path: &Path, config: &ConfigFile) -> Result<(), LoadError> {
        let values = [
            ("feature_size", self.feature_size, config.num_mel_bins),
            (
                "sampling_rate",
                self.sampling_rate,
                crate::mel::SAMPLE_RATE_HZ,
            ),
            ("n_fft", self.n_fft, crate::mel::FRAME_LENGTH),
            ("hop_length", self.hop_length, crate::mel::HOP_LENGTH),
        ];
        for (field, found, expected) in values {
            if let Some(found) = found.filter(|found| *found != expected) {
                return Err(LoadError::Value {
                    path: path.to_owned(),
                    field,
                    found: found.to_string(),
                    expected: expected.to_string(),
                });
            }
        }
        Ok(())
    }
}
