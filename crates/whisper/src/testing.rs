//! Small checkpoints and audio from a seed, for tests and benches.
//!
//! `tests/reference/checkpoints.py` makes the same numbers, so the golden files need no weights beside them. Weights
//! are small integers times a power of two: f32, f16 and bf16 hold them exactly.

mod ctranslate2;
mod ggml;
mod openai;
mod pytorch;

use std::{collections::BTreeMap, fs, io, path::Path};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

pub use crate::checkpoint::fuzz;
pub use ctranslate2::{CTranslate2, StoredWords};
pub use ggml::Ggml;
pub use pytorch::{Pickle, PyTorch};

/// Runs `compute`, on this thread, as if the CPU were another device: the model takes the operations that a GPU takes.
/// A model in f16 that was loaded so goes on doing that, on any thread.
pub fn on_another_device<R>(compute: impl FnOnce() -> R) -> R {
    crate::model::elsewhere::pretend(compute)
}

/// As [`on_another_device`], as if that had our own kernels too: loops stand in for them.
pub fn on_a_gpu<R>(compute: impl FnOnce() -> R) -> R {
    crate::model::elsewhere::pretend_fused(compute)
}

/// CTranslate2's reader on any bytes, for fuzzing: what it promises is asserted. Whether they were read.
pub fn read_ctranslate2(bytes: &[u8]) -> bool {
    crate::checkpoint::fuzz_ctranslate2(bytes)
}

/// A vocabulary in which every byte is a token.
#[cfg(test)]
pub(crate) fn vocabulary_of_bytes() -> crate::Vocabulary {
    let folder = tempfile::tempdir().unwrap();
    TinyCheckpoint::multilingual().write(folder.path()).unwrap();
    crate::Vocabulary::read(&crate::Checkpoint::open(folder.path()).unwrap()).unwrap()
}

/// A checkpoint of random weights to be written to a directory.
#[derive(Clone, Debug)]
pub struct TinyCheckpoint {
    /// Other seeds give other weights.
    pub seed: u64,
    /// Mel bins: 80, or 128 as in large-v3.
    pub n_mels: usize,
    /// Width of the network.
    pub d_model: usize,
    /// Attention heads of encoder and decoder.
    pub heads: usize,
    /// Layers of the encoder.
    pub encoder_layers: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// Inner width of the feed-forward layers.
    pub feed_forward: usize,
    /// Language codes; none makes an English-only checkpoint.
    pub languages: &'static [&'static str],
    /// Number type of the weights.
    pub precision: Precision,
    /// Weight files: 1, or more with an index.
    pub shards: usize,
    /// Whether tensors are named `model.encoder…`, as transformers saves them with the output head, or `encoder…`.
    pub with_prefix: bool,
    /// Tokens beyond the 256 bytes and the special ones, as filler for benches.
    pub extra_tokens: usize,
}

/// Number type of weights in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, IEEE.
    F16,
    /// 16 bits, the upper half of an f32.
    Bf16,
}

impl TinyCheckpoint {
    /// Three languages, 80 mel bins.
    pub fn multilingual() -> Self {
        Self {
            seed: 1,
            n_mels: 80,
            d_model: 32,
            heads: 2,
            encoder_layers: 2,
            decoder_layers: 2,
            feed_forward: 64,
            languages: &["en", "de", "fr"],
            precision: Precision::F32,
            shards: 1,
            with_prefix: true,
            extra_tokens: 0,
        }
    }

    /// English only, and of a distilled shape: one decoder layer under three encoder layers.
    pub fn english() -> Self {
        Self {
            seed: 2,
            languages: &[],
            encoder_layers: 3,
            decoder_layers: 1,
            ..Self::multilingual()
        }
    }

    /// 128 mel bins, as large-v3.
    pub fn large_v3() -> Self {
        Self {
            seed: 3,
            n_mels: 128,
            d_model: 48,
            heads: 4,
            feed_forward: 96,
            ..Self::multilingual()
        }
    }

    /// The shape of Whisper tiny with random weights: for benches.
    pub fn tiny_shape() -> Self {
        Self {
            seed: 4,
            d_model: 384,
            heads: 6,
            encoder_layers: 4,
            decoder_layers: 4,
            feed_forward: 1536,
            // Together with the bytes and the special tokens these are tiny's 51 865.
            extra_tokens: 51_865 - 256 - 1512,
            ..Self::multilingual()
        }
    }

    /// The shape of Whisper base with random weights: for benches.
    pub fn base_shape() -> Self {
        Self {
            seed: 5,
            d_model: 512,
            heads: 8,
            encoder_layers: 6,
            decoder_layers: 6,
            feed_forward: 2048,
            ..Self::tiny_shape()
        }
    }

    /// The token of a special text such as `<|endoftext|>`.
    pub fn token(&self, text: &str) -> Option<u32> {
        let index = self
            .special_tokens()
            .iter()
            .position(|special| special == text)?;
        u32::try_from(BYTES + index).ok()
    }

    /// Number of tokens.
    pub fn vocab_size(&self) -> usize {
        BYTES + self.special_tokens().len() + self.extra_tokens
    }

    /// Writes all files of the checkpoint into `directory`, which exists.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        self.write_small_files(directory)?;
        self.write_weights(directory)
    }

    fn write_small_files(&self, directory: &Path) -> io::Result<()> {
        let write = |name: &str, value: Value| fs::write(directory.join(name), value.to_string());
        write("config.json", self.config())?;
        write("generation_config.json", self.generation_config())?;
        write("preprocessor_config.json", self.preprocessor_config())?;
        write("tokenizer.json", self.tokenizer())
    }

    /// `config.json`.
    pub fn config(&self) -> Value {
        json!({
            "architectures": ["WhisperForConditionalGeneration"],
            "model_type": "whisper",
            "activation_function": "gelu",
            "num_mel_bins": self.n_mels,
            "d_model": self.d_model,
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "encoder_ffn_dim": self.feed_forward,
            "decoder_ffn_dim": self.feed_forward,
            "max_source_positions": SOURCE_POSITIONS,
            "max_target_positions": TARGET_POSITIONS,
            "vocab_size": self.vocab_size(),
            "decoder_start_token_id": self.token("<|startoftranscript|>"),
            "bos_token_id": self.token("<|endoftext|>"),
            "eos_token_id": self.token("<|endoftext|>"),
            "pad_token_id": self.token("<|endoftext|>"),
            "suppress_tokens": [],
            "begin_suppress_tokens": [],
            "tie_word_embeddings": true,
        })
    }

    /// `generation_config.json`.
    pub fn generation_config(&self) -> Value {
        let suppressed = [
            "<|startoftranscript|>",
            "<|startoflm|>",
            "<|startofprev|>",
            "<|nospeech|>",
        ];
        let mut config = json!({
            "decoder_start_token_id": self.token("<|startoftranscript|>"),
            "bos_token_id": self.token("<|endoftext|>"),
            "eos_token_id": self.token("<|endoftext|>"),
            "pad_token_id": self.token("<|endoftext|>"),
            "no_timestamps_token_id": self.token("<|notimestamps|>"),
            "prev_sot_token_id": self.token("<|startofprev|>"),
            "is_multilingual": !self.languages.is_empty(),
            "max_initial_timestamp_index": 50,
            "max_length": TARGET_POSITIONS,
            "suppress_tokens": suppressed.map(|text| self.token(text)),
            "begin_suppress_tokens": [Some(32), self.token("<|endoftext|>")],
        });
        if !self.languages.is_empty() {
            let tokens: BTreeMap<String, Option<u32>> = self
                .languages
                .iter()
                .map(|code| format!("<|{code}|>"))
                .map(|text| (text.clone(), self.token(&text)))
                .collect();
            config["lang_to_id"] = json!(tokens);
            config["task_to_id"] = json!({
                "transcribe": self.token("<|transcribe|>"),
                "translate": self.token("<|translate|>"),
            });
        }
        config
    }

    fn preprocessor_config(&self) -> Value {
        json!({
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": self.n_mels,
            "sampling_rate": 16_000,
            "hop_length": 160,
            "n_fft": 400,
            "chunk_length": 30,
        })
    }

    /// `tokenizer.json`: byte-level without merges, so every byte is a token.
    fn tokenizer(&self) -> Value {
        let special = self.special_tokens();
        let first_timestamp = special.len() - TIMESTAMPS;
        let added: Vec<Value> = special
            .iter()
            .enumerate()
            .map(|(index, text)| {
                json!({
                    "id": BYTES + index,
                    "content": text,
                    "special": index < first_timestamp,
                    "single_word": false,
                    "lstrip": false,
                    "rstrip": false,
                    "normalized": false,
                })
            })
            .collect();
        let byte_level = json!({
            "type": "ByteLevel",
            "add_prefix_space": false,
            "trim_offsets": true,
            "use_regex": true,
        });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": byte_level,
            "post_processor": null,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": false,
                "byte_fallback": false,
                "vocab": byte_vocabulary(),
                "merges": [],
            },
        })
    }

    fn special_tokens(&self) -> Vec<String> {
        let named = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| format!("<|{text}|>"))
                .collect::<Vec<_>>()
        };
        let mut tokens = named(&["endoftext", "startoftranscript"]);
        tokens.extend(named(self.languages));
        tokens.extend(named(&[
            "translate",
            "transcribe",
            "startoflm",
            "startofprev",
            "nospeech",
            "notimestamps",
        ]));
        tokens.extend((0..TIMESTAMPS).map(|step| format!("<|{:.2}|>", step as f64 * 0.02)));
        tokens
    }

    fn write_weights(&self, directory: &Path) -> io::Result<()> {
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = self
            .shapes()
            .into_iter()
            .map(|(name, shape)| {
                let bytes =
                    self.precision
                        .bytes(&weights(self.seed, &name, shape.iter().product()));
                let stored = if self.with_prefix {
                    name
                } else {
                    name.trim_start_matches("model.").to_owned()
                };
                (stored, shape, bytes)
            })
            .collect();
        if self.shards == 1 {
            return self.write_file(&directory.join("model.safetensors"), &tensors);
        }
        let mut weight_map = BTreeMap::new();
        let per_shard = tensors.len().div_ceil(self.shards);
        for (index, part) in tensors.chunks(per_shard).enumerate() {
            let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, self.shards);
            self.write_file(&directory.join(&name), part)?;
            weight_map.extend(
                part.iter()
                    .map(|(tensor, ..)| (tensor.clone(), name.clone())),
            );
        }
        let index = json!({ "metadata": {}, "weight_map": weight_map });
        fs::write(
            directory.join("model.safetensors.index.json"),
            index.to_string(),
        )
    }

    fn write_file(&self, path: &Path, tensors: &[(String, Vec<usize>, Vec<u8>)]) -> io::Result<()> {
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                let view = TensorView::new(self.precision.dtype(), shape.clone(), bytes);
                Ok((name.as_str(), view.map_err(io::Error::other)?))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let file = safetensors::serialize(views, None).map_err(io::Error::other)?;
        fs::write(path, file)
    }

    /// Every tensor's name and shape.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (d, ffn) = (self.d_model, self.feed_forward);
        let mut shapes = Shapes(Vec::new());
        shapes.push("model.encoder.conv1.weight", &[d, self.n_mels, 3]);
        shapes.push("model.encoder.conv1.bias", &[d]);
        shapes.push("model.encoder.conv2.weight", &[d, d, 3]);
        shapes.push("model.encoder.conv2.bias", &[d]);
        shapes.push(
            "model.encoder.embed_positions.weight",
            &[SOURCE_POSITIONS, d],
        );
        shapes.layers("encoder", self.encoder_layers, &["self_attn"], d, ffn);
        shapes.push("model.decoder.embed_tokens.weight", &[self.vocab_size(), d]);
        shapes.push(
            "model.decoder.embed_positions.weight",
            &[TARGET_POSITIONS, d],
        );
        shapes.layers(
            "decoder",
            self.decoder_layers,
            &["self_attn", "encoder_attn"],
            d,
            ffn,
        );
        shapes.0
    }
}

/// Tones that come and go over a little noise: `samples` samples at 16 kHz.
#[expect(
    clippy::cast_possible_truncation,
    reason = "computed in f64, kept as f32"
)]
pub fn audio(seed: u64, samples: usize) -> Vec<f32> {
    use std::f64::consts::TAU;
    let seed_number = seed as f64;
    let noise = small_integers(seed, "audio");
    (0..samples)
        .zip(noise)
        .map(|(index, noise)| {
            let t = index as f64 / 16_000.0;
            let mut sound = 0.0;
            for voice in 0..5 {
                let voice = f64::from(voice);
                let hz = 130.0 * (voice + 1.0) * (1.0 + 0.03 * (seed % 7) as f64);
                let rate = 0.9 + 0.37 * voice;
                let loudness = (TAU * rate * t + voice + seed_number).sin().max(0.0);
                sound += 0.11 * loudness * (TAU * hz * t).sin();
            }
            (sound + 0.01 * (f64::from(noise) / 128.0)) as f32
        })
        .collect()
}

const BYTES: usize = 256;
const TIMESTAMPS: usize = 1501;
const SOURCE_POSITIONS: usize = 1500;
const TARGET_POSITIONS: usize = 448;

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        let values = values.iter().copied();
        match self {
            Self::F32 => values.flat_map(f32::to_le_bytes).collect(),
            Self::F16 => values
                .flat_map(|value| f16::from_f32(value).to_le_bytes())
                .collect(),
            Self::Bf16 => values
                .flat_map(|value| bf16::from_f32(value).to_le_bytes())
                .collect(),
        }
    }
}

struct Shapes(Vec<(String, Vec<usize>)>);

impl Shapes {
    fn push(&mut self, name: &str, shape: &[usize]) {
        self.0.push((name.to_owned(), shape.to_vec()));
    }

    fn linear(&mut self, name: &str, outs: usize, ins: usize) {
        self.push(&format!("{name}.weight"), &[outs, ins]);
        self.push(&format!("{name}.bias"), &[outs]);
    }

    fn norm(&mut self, name: &str, d: usize) {
        self.push(&format!("{name}.weight"), &[d]);
        self.push(&format!("{name}.bias"), &[d]);
    }

    fn layers(&mut self, side: &str, count: usize, blocks: &[&str], d: usize, ffn: usize) {
        for index in 0..count {
            let layer = format!("model.{side}.layers.{index}");
            for block in blocks {
                let block = format!("{layer}.{block}");
                self.linear(&format!("{block}.q_proj"), d, d);
                self.push(&format!("{block}.k_proj.weight"), &[d, d]);
                self.linear(&format!("{block}.v_proj"), d, d);
                self.linear(&format!("{block}.out_proj"), d, d);
                self.norm(&format!("{block}_layer_norm"), d);
            }
            self.linear(&format!("{layer}.fc1"), ffn, d);
            self.linear(&format!("{layer}.fc2"), d, ffn);
            self.norm(&format!("{layer}.final_layer_norm"), d);
        }
        self.norm(&format!("model.{side}.layer_norm"), d);
    }
}

/// Weights of a tensor: activations stay near 1, and the logits vary from token to token.
fn weights(seed: u64, name: &str, count: usize) -> Vec<f32> {
    let is_norm = name.ends_with("layer_norm.weight");
    // The last norm has both signs: a tied output matrix would else prefer the token that it was given.
    let is_last_norm = name == "model.decoder.layer_norm.weight";
    let exponent = if name.ends_with("bias") {
        -10
    } else if is_norm || name.contains("embed_") {
        -7
    } else if name.contains("q_proj") || name.contains("k_proj") {
        -8
    } else {
        -9
    };
    let offset = if is_norm && !is_last_norm { 1.0 } else { 0.0 };
    let scale = 2.0_f32.powi(exponent);
    small_integers(seed, name)
        .take(count)
        .map(|integer| f32::from(integer) * scale + offset)
        .collect()
}

/// Integers in −127..=127 that depend on the seed and the name.
pub fn small_integers(seed: u64, name: &str) -> impl Iterator<Item = i16> {
    let mut state = seed ^ fnv1a(name);
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let upper = splitmix64(state) >> 32;
        i16::try_from(upper % 255).map_or(0, |value| value - 127)
    })
}

fn splitmix64(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// Byte → its printable stand-in of byte-level tokenizers: itself, or the next free character from U+0100 on.
fn byte_vocabulary() -> BTreeMap<String, u8> {
    let mut free = '\u{100}'..;
    (0..=u8::MAX)
        .map(|byte| {
            let is_printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let character = if is_printable {
                Some(char::from(byte))
            } else {
                free.next()
            };
            (character.map_or_else(String::new, String::from), byte)
        })
        .collect()
}

/// Word errors between what was said and what was heard: substitutions, insertions and deletions,
/// without regard to case and punctuation at the ends of words.
pub fn word_errors(said: &str, heard: &str) -> usize {
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(|word| {
                word.trim_matches(|c: char| ".,!?".contains(c))
                    .to_lowercase()
            })
            .filter(|word| !word.is_empty())
            .collect()
    };
    let (said, heard) = (words(said), words(heard));
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, expected) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, found) in heard.iter().enumerate() {
            let replaced = diagonal + usize::from(expected != found);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[heard.len()]
}
