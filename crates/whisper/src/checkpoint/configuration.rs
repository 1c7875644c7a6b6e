//! What the small files of a checkpoint say.

use std::{collections::BTreeMap, path::Path};

use candle_transformers::models::whisper::Config;
use serde::{Deserialize, Deserializer};

use super::LoadError;

/// Largest value that a size in `config.json` may have: far above any Whisper, small enough that no product of two
/// of them overflows.
const LARGEST_SIZE: usize = 1 << 24;

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
    /// `<|endoftext|>`, and others that end a text; empty where nothing is said.
    #[serde(deserialize_with = "one_or_several")]
    pub eos_token_id: Vec<u32>,
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
    /// Layers and heads of the decoder whose attention follows the audio.
    #[serde(deserialize_with = "pairs")]
    pub alignment_heads: Option<Vec<[usize; 2]>>,
}

/// `config.json`, more forgiving than Candle's own type: lists may be null and may hold −1, and what is missing is what
/// transformers' `WhisperConfig` takes then.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct ConfigFile {
    model_type: Option<String>,
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
    pub(super) tie_word_embeddings: bool,
    scale_embedding: bool,
    decoder_start_token_id: Option<u32>,
    #[serde(deserialize_with = "one_or_several")]
    eos_token_id: Vec<u32>,
    suppress_tokens: Option<Vec<i64>>,
    begin_suppress_tokens: Option<Vec<i64>>,
    max_length: Option<usize>,
}

impl Default for ConfigFile {
    fn default() -> Self {
        Self {
            model_type: None,
            activation_function: None,
            num_mel_bins: 80,
            max_source_positions: 1500,
            d_model: 384,
            encoder_attention_heads: 6,
            encoder_layers: 4,
            vocab_size: 51_865,
            max_target_positions: 448,
            decoder_attention_heads: 6,
            decoder_layers: 4,
            tie_word_embeddings: true,
            scale_embedding: false,
            // The tokenizer knows the tokens; transformers' defaults are those of English-only checkpoints.
            decoder_start_token_id: None,
            eos_token_id: Vec::new(),
            suppress_tokens: None,
            begin_suppress_tokens: None,
            max_length: None,
        }
    }
}

/// Sizes of a network, for forms that have no `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) n_mels: usize,
    pub(super) source_positions: usize,
    pub(super) d_model: usize,
    pub(super) encoder_heads: usize,
    pub(super) encoder_layers: usize,
    pub(super) vocabulary: usize,
    pub(super) target_positions: usize,
    pub(super) decoder_heads: usize,
    pub(super) decoder_layers: usize,
}

/// A token, or a list of them; null is none.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Tokens {
        One(u32),
        Several(Vec<u32>),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Tokens::One(token)) => vec![token],
        Some(Tokens::Several(tokens)) => tokens,
    })
}

/// Pairs of numbers; anything else is none, since only times of words need them.
pub(super) fn pairs<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<[usize; 2]>>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl ConfigFile {
    /// The configuration of a network of which only the shape is known.
    pub(super) fn of_shape(shape: Shape) -> Self {
        Self {
            num_mel_bins: shape.n_mels,
            max_source_positions: shape.source_positions,
            d_model: shape.d_model,
            encoder_attention_heads: shape.encoder_heads,
            encoder_layers: shape.encoder_layers,
            vocab_size: shape.vocabulary,
            max_target_positions: shape.target_positions,
            decoder_attention_heads: shape.decoder_heads,
            decoder_layers: shape.decoder_layers,
            ..Self::default()
        }
    }

    /// Number of tokens.
    pub(super) fn vocabulary(&self) -> usize {
        self.vocab_size
    }

    pub(super) fn with_output(self, is_tied: bool) -> Self {
        Self {
            tie_word_embeddings: is_tied,
            ..self
        }
    }

    pub(super) fn check(&self, path: &Path) -> Result<(), LoadError> {
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
        if self.scale_embedding {
            return refuse("scale_embedding", "true".to_owned(), "false");
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
    pub(super) fn complete(&self, said: GenerationConfig) -> GenerationConfig {
        GenerationConfig {
            decoder_start_token_id: said.decoder_start_token_id.or(self.decoder_start_token_id),
            eos_token_id: if said.eos_token_id.is_empty() {
                self.eos_token_id.clone()
            } else {
                said.eos_token_id
            },
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

    pub(super) fn into_config(self, generation: &GenerationConfig) -> Config {
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
pub(super) struct PreprocessorFile {
    feature_size: Option<usize>,
    sampling_rate: Option<usize>,
    n_fft: Option<usize>,
    hop_length: Option<usize>,
}

impl PreprocessorFile {
    pub(super) fn check(&self, path: &Path, config: &ConfigFile) -> Result<(), LoadError> {
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
