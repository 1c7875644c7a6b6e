//! Folders as transformers writes them: `config.json`, `tokenizer.json`, `model.safetensors` (or shards named by
//! `model.safetensors.index.json`), and, missing in old checkpoints, `generation_config.json` and
//! `preprocessor_config.json`.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::{Contents, Form};
use crate::checkpoint::{
    EmbeddedFiles, LoadError,
    configuration::{ConfigFile, GenerationConfig, PreprocessorFile},
    files::{WeightFile, map_weights, parse, read_if_there, required},
    stored::{Number, Stored, Values},
};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";

struct SmallFiles {
    config: Vec<u8>,
    generation_config: Option<Vec<u8>>,
    preprocessor_config: Option<Vec<u8>>,
    tokenizer: Vec<u8>,
}

pub(super) fn open(directory: &Path) -> Result<Contents, LoadError> {
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
    assemble(directory, files, weights)
}

pub(super) fn embedded(files: EmbeddedFiles) -> Result<Contents, LoadError> {
    let origin = Path::new(files.name);
    let small = SmallFiles {
        config: files.config.to_vec(),
        generation_config: files.generation_config.map(<[u8]>::to_vec),
        preprocessor_config: files.preprocessor_config.map(<[u8]>::to_vec),
        tokenizer: files.tokenizer.to_vec(),
    };
    let weights = WeightFile::embedded(origin.join(WEIGHTS), files.weights);
    assemble(origin, small, vec![weights])
}

fn assemble(
    origin: &Path,
    files: SmallFiles,
    weights: Vec<WeightFile>,
) -> Result<Contents, LoadError> {
    let config_path = origin.join(CONFIG);
    let config: ConfigFile = parse(&config_path, &files.config)?;
    if let Some(bytes) = &files.preprocessor_config {
        let path = origin.join(PREPROCESSOR_CONFIG);
        parse::<PreprocessorFile>(&path, bytes)?.check(&path, &config)?;
    } else {
        tracing::debug!(checkpoint = %origin.display(), "no preprocessor_config.json, taking num_mel_bins of config.json");
    }
    let generation = if let Some(bytes) = &files.generation_config {
        parse(&origin.join(GENERATION_CONFIG), bytes)?
    } else {
        tracing::debug!(checkpoint = %origin.display(), "no generation_config.json, taking what config.json says");
        GenerationConfig::default()
    };
    Ok(Contents {
        form: Form::Safetensors,
        config_path,
        config,
        generation,
        tokenizer: files.tokenizer,
        weights,
    })
}

/// What safetensors files hold.
pub(super) fn tensors(files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
    let mut found = Vec::new();
    for file in files {
        let header =
            SafeTensors::deserialize(file.bytes()).map_err(|source| LoadError::Header {
                path: file.path().to_owned(),
                source,
            })?;
        for (name, view) in header.tensors() {
            let number = |number| Values::Numbers(number, view.data().into());
            found.push(Stored {
                name: name.strip_prefix("model.").unwrap_or(&name).to_owned(),
                path: file.path(),
                shape: view.shape().to_vec(),
                values: match view.dtype() {
                    Dtype::F64 => number(Number::F64),
                    Dtype::F32 => number(Number::F32),
                    Dtype::F16 => number(Number::F16),
                    Dtype::BF16 => number(Number::Bf16),
                    other => Values::Unread(format!("{other:?}")),
                },
                called: name,
            });
        }
    }
    Ok(found)
}
