//! Folders as CTranslate2's converter writes them: `model.bin`, `config.json` with what decoding needs, and the words as
//! `vocabulary.json` or `vocabulary.txt`; faster-whisper's have a `tokenizer.json` beside.
//!
//! ```text
//! version │ specification, its revision │ count │ name, rank, shape, type, length, values; … │ count │ alias, name; …
//! ```
//!
//! Source: `ModelSpec._serialize` of its converter and `Model::load` of its reader, versions 2 to 6; little-endian.
//! Attention's matrices lie in one, rows of queries, keys and values one after the other.

mod binary;
mod names;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use self::binary::{Fault, Model, Variable};
use super::{Contents, Form};
use crate::checkpoint::{
    LoadError,
    configuration::{ConfigFile, GenerationConfig, Shape, pairs},
    files::{WeightFile, read_if_there},
    json,
    stored::{Integer, Number, Stored, Values},
    tokenizer,
};

/// Layers that are looked for; large has 32.
const MOST_LAYERS: usize = 1_000;

pub(super) const WEIGHTS: &str = "model.bin";
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const FORM: &str = "CTranslate2 model";

/// What its `config.json` says, as far as it is used. Its languages are not: English-only models have wrong ones, and
/// the tokenizer names them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    suppress_ids: Option<Vec<i64>>,
    suppress_ids_begin: Option<Vec<i64>>,
    #[serde(deserialize_with = "pairs")]
    alignment_heads: Option<Vec<[usize; 2]>>,
}

/// Whether a file begins as these do.
pub(super) fn is(bytes: &[u8]) -> bool {
    binary::begins_well(bytes)
}

/// `weights`: the `model.bin` of a folder.
pub(super) fn open(weights: &Path) -> Result<Contents, LoadError> {
    let directory = weights.parent().unwrap_or_else(|| Path::new(""));
    let file = WeightFile::map(weights.to_owned())?;
    let (shape, is_tied) = {
        let model = Model::read(file.bytes()).map_err(|fault| unreadable(weights, fault))?;
        check(&model, weights)?;
        let shape = shape(&model).map_err(|fault| unreadable(weights, fault))?;
        (
            shape,
            !model.variables.contains_key("decoder/projection/weight"),
        )
    };
    let config_path = directory.join(CONFIG);
    let config: Config = match read_if_there(&config_path)? {
        Some(bytes) => json::parse(&config_path, &bytes)?,
        None => Config::default(),
    };
    let tokenizer = match read_if_there(&directory.join(TOKENIZER))? {
        Some(bytes) => json::without_mark(&bytes).to_vec(),
        None => tokenizer::from_list(vocabulary(directory, shape.vocabulary)?),
    };
    Ok(Contents {
        form: Form::CTranslate2,
        config_path: weights.to_owned(),
        config: ConfigFile::of_shape(shape).with_output(is_tied),
        generation: GenerationConfig {
            suppress_tokens: config.suppress_ids,
            begin_suppress_tokens: config.suppress_ids_begin,
            alignment_heads: config.alignment_heads,
            ..GenerationConfig::default()
        },
        tokenizer,
        weights: vec![file],
    })
}

/// What `model.bin` holds.
pub(super) fn tensors(files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
    let mut found = Vec::new();
    for file in files {
        let model = Model::read(file.bytes()).map_err(|fault| unreadable(file.path(), fault))?;
        for (called, variable) in model.named() {
            for part in names::parts(called) {
                let stored = stored(&model, called, variable, part, file.path());
                found.push(stored.map_err(|fault| unreadable(file.path(), fault))?);
            }
        }
    }
    Ok(found)
}

fn unreadable(path: &Path, fault: Fault) -> LoadError {
    LoadError::Damaged {
        path: path.to_owned(),
        form: FORM,
        source: fault.into(),
    }
}

/// Refuses networks that compute in another way than Whisper.
fn check(model: &Model<'_>, path: &Path) -> Result<(), LoadError> {
    const GELU: i64 = 3;
    let refuse = |field, found: String, expected: &str| {
        Err(LoadError::Value {
            path: path.to_owned(),
            field,
            found,
            expected: expected.to_owned(),
        })
    };
    if let Some(activation) = model.number("decoder/activation").filter(|a| *a != GELU) {
        return refuse("activation", activation.to_string(), "3 (GELU)");
    }
    // A flag, or a factor.
    let is_scaled = match model.variables.get("decoder/scale_embeddings") {
        Some(scale) if scale.kind == binary::Kind::Number(Number::F32) => {
            scale.bytes != 1.0_f32.to_le_bytes()
        }
        Some(scale) => scale.bytes.iter().any(|byte| *byte != 0),
        None => false,
    };
    if is_scaled {
        return refuse("scale_embeddings", "set".to_owned(), "not set");
    }
    Ok(())
}

fn shape(model: &Model<'_>) -> Result<Shape, Fault> {
    let [d_model, n_mels, _] = model.dims("encoder/conv1/weight")?;
    let [source_positions, _] = model.dims("encoder/position_encodings/encodings")?;
    let [target_positions, _] = model.dims("decoder/position_encodings/encodings")?;
    let [vocabulary, _] = model.dims("decoder/embeddings/weight")?;
    // Every Whisper has heads of 64; the number is written since they are not told by the shape alone.
    let heads = |side: &str| {
        let written = model.number(&format!("{side}/num_heads"));
        let written = written.and_then(|heads| usize::try_from(heads).ok());
        written.unwrap_or(d_model / 64)
    };
    let layers = |side: &str| {
        let has = |layer: &usize| {
            let norm = format!("{side}/layer_{layer}/ffn/layer_norm/gamma");
            model.get(&norm).is_some()
        };
        (0..MOST_LAYERS).take_while(has).count()
    };
    Ok(Shape {
        n_mels,
        source_positions,
        d_model,
        encoder_heads: heads("encoder"),
        encoder_layers: layers("encoder"),
        vocabulary,
        target_positions,
        decoder_heads: heads("decoder"),
        decoder_layers: layers("decoder"),
    })
}

/// A variable, or those rows of it that are one tensor of transformers.
fn stored<'a>(
    model: &Model<'a>,
    called: &str,
    variable: &Variable<'a>,
    part: names::Part,
    path: &'a Path,
) -> Result<Stored<'a>, Fault> {
    let of_parts = |length: usize| {
        let whole = length.is_multiple_of(part.of);
        whole
            .then_some(length / part.of)
            .ok_or_else(|| Fault::Rows {
                tensor: called.to_owned(),
                rows: length,
                parts: part.of,
            })
    };
    let mut shape = variable.shape.clone();
    if let Some(rows) = shape.first_mut() {
        *rows = of_parts(*rows)?;
    }
    let length = of_parts(variable.bytes.len())?;
    let bytes = &variable.bytes[part.index * length..][..length];
    let scaled = |integers| {
        let name = format!("{called}_scale");
        let Some(scales) = model.scales(&name) else {
            return Ok(Values::Unread("integers without a scale".to_owned()));
        };
        let scales = if scales.len() == 1 {
            scales
        } else {
            let count = of_parts(scales.len())?;
            scales[part.index * count..][..count].to_vec()
        };
        Ok(Values::Scaled {
            integers,
            bytes,
            scales,
        })
    };
    Ok(Stored {
        name: part.name,
        path,
        called: called.to_owned(),
        values: match variable.kind {
            binary::Kind::Number(number) => Values::Numbers(number, bytes.into()),
            binary::Kind::I8 => scaled(Integer::I8)?,
            binary::Kind::I16 => scaled(Integer::I16)?,
            binary::Kind::Other(id) => Values::Unread(format!("CTranslate2's type {id}")),
        },
        shape,
    })
}

/// The tokens, as many as the weights have.
fn vocabulary(directory: &Path, expected: usize) -> Result<Vec<String>, LoadError> {
    let path = |name: &str| directory.join(name);
    let (path, tokens): (PathBuf, Vec<String>) = if let Some(bytes) =
        read_if_there(&path("vocabulary.json"))?
    {
        let path = path("vocabulary.json");
        (path.clone(), json::parse(&path, &bytes)?)
    } else if let Some(bytes) = read_if_there(&path("vocabulary.txt"))? {
        let text = String::from_utf8_lossy(json::without_mark(&bytes)).into_owned();
        let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
        let lines = lines.map(|line| line.strip_suffix('\r').unwrap_or(line).to_owned());
        (path("vocabulary.txt"), lines.collect())
    } else {
        return Err(LoadError::FileMissing {
            path: path("vocabulary.json"),
            remedy: "a CTranslate2 model has its words there, or in vocabulary.txt or tokenizer.json; download it again",
        });
    };
    if tokens.len() == expected {
        Ok(tokens)
    } else {
        Err(LoadError::VocabularySize {
            path,
            found: tokens.len(),
            expected,
        })
    }
}

/// Aliases stand for what they name, and so do their scales.
type Aliases<'a> = BTreeMap<&'a str, &'a str>;

/// Any bytes are refused, or their tensors lie within them and are as long as their shapes say, or are refused when they
/// are read. Whether they were read.
///
/// # Panics
/// Where a promise is broken.
#[cfg(feature = "testing")]
pub(crate) fn fuzz(bytes: &[u8]) -> bool {
    let Ok(model) = Model::read(bytes) else {
        return false;
    };
    let path = Path::new(WEIGHTS);
    if check(&model, path).is_ok() && shape(&model).is_ok() {
        assert!(is(bytes), "a model that is read is known by its beginning");
    }
    for (called, variable) in model.named() {
        for part in names::parts(called) {
            let Ok(stored) = stored(&model, called, variable, part, path) else {
                continue;
            };
            let sizes = stored.shape.iter();
            let count = sizes.fold(1_usize, |count, size| count.saturating_mul(*size));
            // No more memory than a small configuration would ask for.
            if count < 1 << 16
                && let Ok(values) = stored.values.to_f32(&stored.shape)
            {
                assert_eq!(values.len(), count, "{called}");
            }
        }
    }
    true
}
