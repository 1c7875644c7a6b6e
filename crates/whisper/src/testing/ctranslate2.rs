//! The same small checkpoints as CTranslate2's converter writes them.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde_json::json;

use super::{Precision, TinyCheckpoint, byte_vocabulary, weights};

/// A type that the converter makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CTranslate2 {
    /// `float32`, `float16`, `bfloat16`.
    Float(Precision),
    /// `int8_float32`, `int8_float16`, `int8_bfloat16`: matrices in int8, the rest as said.
    Int8(Precision),
    /// `int16`, and the rest in f32.
    Int16,
}

/// Where the words of a CTranslate2 folder stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredWords {
    /// `vocabulary.json` alone.
    Json,
    /// `vocabulary.txt` alone.
    Text,
    /// `tokenizer.json` alone.
    Tokenizer,
}

/// A variable: shape, type, bytes.
type Variable = (Vec<usize>, u8, Vec<u8>);

impl TinyCheckpoint {
    /// Writes all files of a CTranslate2 folder into `directory`, which exists.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_ctranslate2(
        &self,
        directory: &Path,
        kind: CTranslate2,
        words: StoredWords,
    ) -> io::Result<()> {
        let write = |name: &str, text: String| fs::write(directory.join(name), text);
        let generation = self.generation_config();
        let config = json!({
            "alignment_heads": [[0, 0]],
            "lang_ids": [],
            "suppress_ids": generation["suppress_tokens"],
            "suppress_ids_begin": generation["begin_suppress_tokens"],
        });
        write("config.json", config.to_string())?;
        match words {
            StoredWords::Json => write("vocabulary.json", json!(self.words()).to_string())?,
            StoredWords::Text => write("vocabulary.txt", self.words().join("\n") + "\n")?,
            StoredWords::Tokenizer => write("tokenizer.json", self.tokenizer().to_string())?,
        }
        fs::write(directory.join("model.bin"), self.model_bin(kind))
    }

    /// Every token in order.
    fn words(&self) -> Vec<String> {
        let mut bytes: Vec<(u8, String)> = byte_vocabulary()
            .into_iter()
            .map(|(word, byte)| (byte, word))
            .collect();
        bytes.sort_unstable();
        let mut words: Vec<String> = bytes.into_iter().map(|(_, word)| word).collect();
        words.extend(self.special_tokens());
        words
    }

    /// The bytes of `model.bin`.
    pub fn model_bin(&self, kind: CTranslate2) -> Vec<u8> {
        let mut variables = BTreeMap::new();
        for (name, (shape, values)) in self.fused() {
            let is_matrix = name.ends_with("/weight");
            match kind {
                CTranslate2::Int8(_) if is_matrix => put_int8(&mut variables, name, shape, &values),
                CTranslate2::Int16 if is_matrix => put_int16(&mut variables, name, shape, &values),
                CTranslate2::Float(precision) | CTranslate2::Int8(precision) => {
                    let variable = (shape, type_of(precision), precision.bytes(&values));
                    variables.insert(name, variable);
                }
                CTranslate2::Int16 => {
                    let variable = (shape, 0, Precision::F32.bytes(&values));
                    variables.insert(name, variable);
                }
            }
        }
        let heads = i16::try_from(self.heads).unwrap_or(i16::MAX);
        for side in ["encoder", "decoder"] {
            let heads = (Vec::new(), 2, heads.to_le_bytes().to_vec());
            variables.insert(format!("{side}/num_heads"), heads);
        }
        for (name, value) in [("activation", 3), ("scale_embeddings", 0), ("pre_norm", 1)] {
            variables.insert(format!("decoder/{name}"), (Vec::new(), 1, vec![value]));
        }
        let aliases = [("decoder/projection/weight", "decoder/embeddings/weight")];
        file(&variables, &aliases)
    }

    /// The variables' values, attention's matrices together.
    fn fused(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let shapes: BTreeMap<String, Vec<usize>> = self.shapes().into_iter().collect();
        let read = |name: &str| {
            let shape = shapes.get(name);
            let count = shape.map_or(self.d_model, |shape| shape.iter().product());
            // The key's bias, which transformers has not.
            let is_there = shape.is_some();
            let values = if is_there {
                weights(self.seed, name, count)
            } else {
                vec![0.0; count]
            };
            (shape.cloned().unwrap_or_else(|| vec![count]), values)
        };
        let mut fused = BTreeMap::new();
        let mut put = |name: String, of: &[String]| {
            let mut all: (Vec<usize>, Vec<f32>) = (Vec::new(), Vec::new());
            for part in of {
                let (shape, values) = read(part);
                if all.0.is_empty() {
                    all.0 = shape;
                } else {
                    all.0[0] += shape[0];
                }
                all.1.extend(values);
            }
            fused.insert(name, all);
        };
        for conv in ["conv1", "conv2"] {
            for field in ["weight", "bias"] {
                let of = format!("model.encoder.{conv}.{field}");
                put(format!("encoder/{conv}/{field}"), &[of]);
            }
        }
        let embedding = "model.decoder.embed_tokens.weight".to_owned();
        put("decoder/embeddings/weight".to_owned(), &[embedding]);
        for (side, layers) in [
            ("encoder", self.encoder_layers),
            ("decoder", self.decoder_layers),
        ] {
            let positions = format!("model.{side}.embed_positions.weight");
            put(format!("{side}/position_encodings/encodings"), &[positions]);
            for (field, called) in [("weight", "gamma"), ("bias", "beta")] {
                let of = format!("model.{side}.layer_norm.{field}");
                put(format!("{side}/layer_norm/{called}"), &[of]);
            }
            for layer in 0..layers {
                let ours = format!("{side}/layer_{layer}");
                let theirs = format!("model.{side}.layers.{layer}");
                for (block, attention) in [
                    ("self_attention", "self_attn"),
                    ("attention", "encoder_attn"),
                ] {
                    if side == "encoder" && block == "attention" {
                        continue;
                    }
                    let groups: &[&[&str]] = if block == "attention" {
                        &[&["q"], &["k", "v"], &["out"]]
                    } else {
                        &[&["q", "k", "v"], &["out"]]
                    };
                    for (index, group) in groups.iter().enumerate() {
                        for field in ["weight", "bias"] {
                            let of =
                                |part: &&str| format!("{theirs}.{attention}.{part}_proj.{field}");
                            let of: Vec<String> = group.iter().map(of).collect();
                            put(format!("{ours}/{block}/linear_{index}/{field}"), &of);
                        }
                    }
                    for (field, called) in [("weight", "gamma"), ("bias", "beta")] {
                        let of = format!("{theirs}.{attention}_layer_norm.{field}");
                        put(format!("{ours}/{block}/layer_norm/{called}"), &[of]);
                    }
                }
                for (field, called) in [("weight", "gamma"), ("bias", "beta")] {
                    let of = format!("{theirs}.final_layer_norm.{field}");
                    put(format!("{ours}/ffn/layer_norm/{called}"), &[of]);
                }
                for (index, of) in ["fc1", "fc2"].into_iter().enumerate() {
                    for field in ["weight", "bias"] {
                        let of = format!("{theirs}.{of}.{field}");
                        put(format!("{ours}/ffn/linear_{index}/{field}"), &[of]);
                    }
                }
            }
        }
        fused
    }
}

fn type_of(precision: Precision) -> u8 {
    match precision {
        Precision::F32 => 0,
        Precision::F16 => 4,
        Precision::Bf16 => 5,
    }
}

/// A scale for each row, as the converter rounds.
#[expect(clippy::cast_possible_truncation, reason = "within −127..=127")]
fn put_int8(
    variables: &mut BTreeMap<String, Variable>,
    name: String,
    shape: Vec<usize>,
    values: &[f32],
) {
    let (mut bytes, mut scales) = (Vec::new(), Vec::new());
    for row in values.chunks(values.len() / shape[0]) {
        let largest = row.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        let scale = 127.0 / if largest == 0.0 { 127.0 } else { largest };
        let round = |value: &f32| ((value * scale).round_ties_even() as i8).cast_unsigned();
        bytes.extend(row.iter().map(round));
        scales.push(scale);
    }
    let of_scales = (vec![shape[0]], 0, Precision::F32.bytes(&scales));
    variables.insert(format!("{name}_scale"), of_scales);
    variables.insert(name, (shape, 1, bytes));
}

/// One scale for all.
#[expect(clippy::cast_possible_truncation, reason = "within −1024..=1024")]
fn put_int16(
    variables: &mut BTreeMap<String, Variable>,
    name: String,
    shape: Vec<usize>,
    values: &[f32],
) {
    let largest = values
        .iter()
        .fold(0.0_f32, |max, value| max.max(value.abs()));
    let scale = 1024.0 / largest;
    let round = |value: &f32| ((value * scale).round_ties_even() as i16).to_le_bytes();
    let bytes = values.iter().flat_map(round).collect();
    let of_scale = (Vec::new(), 0, scale.to_le_bytes().to_vec());
    variables.insert(format!("{name}_scale"), of_scale);
    variables.insert(name, (shape, 2, bytes));
}

fn file(variables: &BTreeMap<String, Variable>, aliases: &[(&str, &str)]) -> Vec<u8> {
    let u32_of = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let text = |text: &str| {
        let length = u16::try_from(text.len() + 1).unwrap_or(u16::MAX);
        [&length.to_le_bytes()[..], text.as_bytes(), &[0]].concat()
    };
    let mut bytes = Vec::new();
    bytes.extend(u32_of(6));
    bytes.extend(text("WhisperSpec"));
    bytes.extend(u32_of(3));
    bytes.extend(u32_of(variables.len()));
    for (name, (shape, kind, values)) in variables {
        bytes.extend(text(name));
        bytes.extend(u8::try_from(shape.len()));
        bytes.extend(shape.iter().flat_map(|dim| u32_of(*dim)));
        bytes.push(*kind);
        bytes.extend(u32_of(values.len()));
        bytes.extend(values);
    }
    bytes.extend(u32_of(aliases.len()));
    for (alias, name) in aliases {
        bytes.extend(text(alias));
        bytes.extend(text(name));
    }
    bytes
}
