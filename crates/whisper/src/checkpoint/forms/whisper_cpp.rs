//! ggml files as whisper.cpp has them: shape, words and tensors in one.

use std::{collections::BTreeMap, path::Path};

use super::{Contents, Form, openai_names};
use crate::checkpoint::{
    LoadError,
    configuration::{ConfigFile, GenerationConfig, Shape},
    files::WeightFile,
    ggml::{self, GGML_MAGIC, GgmlError, Kind, TensorRange},
    stored::{Stored, Values},
    tokenizer::{self, Added},
};

/// Whether a file begins as these do.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(GGML_MAGIC)
}

pub(super) fn open(file: WeightFile) -> Result<Contents, LoadError> {
    let path = file.path();
    let contents = ggml::read(file.bytes()).map_err(|fault| unreadable(path, fault))?;
    let shape = shape(&contents.shape);
    let tokenizer = tokenizer(path, &contents.tokens, shape.vocabulary)?;
    Ok(Contents {
        form: Form::WhisperCpp,
        config_path: path.to_owned(),
        config: ConfigFile::of_shape(shape),
        generation: GenerationConfig::default(),
        tokenizer,
        weights: vec![file],
    })
}

/// What the files hold.
pub(super) fn tensors(files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
    let mut found = Vec::new();
    for file in files {
        let contents = ggml::read(file.bytes()).map_err(|fault| unreadable(file.path(), fault))?;
        let tensors = contents.tensors.into_iter();
        found.extend(tensors.map(|tensor| stored(file, tensor)));
    }
    Ok(found)
}

fn stored(file: &WeightFile, tensor: TensorRange) -> Stored<'_> {
    let bytes = &file.bytes()[tensor.bytes];
    Stored {
        name: openai_names::to_transformers(&tensor.name),
        path: file.path(),
        called: tensor.name,
        shape: without_ones(tensor.shape),
        values: match tensor.kind {
            Kind::Numbers(number) => Values::Numbers(number, bytes.into()),
            Kind::Blocks(blocks) => Values::Blocks(blocks, bytes),
        },
    }
}

/// The converter writes the biases of convolutions as columns.
fn without_ones(shape: Vec<usize>) -> Vec<usize> {
    match shape[..] {
        [length, 1] => vec![length],
        _ => shape,
    }
}

fn shape(shape: &ggml::Shape) -> Shape {
    Shape {
        n_mels: shape.n_mels,
        source_positions: shape.n_audio_ctx,
        d_model: shape.n_audio_state,
        encoder_heads: shape.n_audio_head,
        encoder_layers: shape.n_audio_layer,
        vocabulary: shape.n_vocab,
        target_positions: shape.n_text_ctx,
        decoder_heads: shape.n_text_head,
        decoder_layers: shape.n_text_layer,
    }
}

/// The words of the file, and the special tokens, which whisper.cpp knows by the size of the vocabulary.
fn tokenizer(path: &Path, tokens: &[&[u8]], vocabulary: usize) -> Result<Vec<u8>, LoadError> {
    // What was converted from transformers' files has this one among its words.
    let is_end = |token: &&[u8]| **token == *b"<|endoftext|>";
    let words = tokens.iter().position(is_end).unwrap_or(tokens.len());
    let added = tokenizer::special_tokens(vocabulary)
        .or_else(|| tokenizer::special_tokens_behind(words, vocabulary))
        .filter(|added| first(added) <= tokens.len());
    let added = added.ok_or_else(|| LoadError::VocabularySize {
        path: path.to_owned(),
        found: tokens.len(),
        expected: vocabulary,
    })?;
    let words = (0..).zip(&tokens[..first(&added)]);
    let words: BTreeMap<u32, String> = words
        .map(|(token, bytes)| (token, tokenizer::with_stand_ins(bytes)))
        .collect();
    Ok(tokenizer::from_words(&words, &added))
}

fn first(added: &[Added]) -> usize {
    added.first().map_or(0, |added| added.id as usize)
}

fn unreadable(path: &Path, fault: GgmlError) -> LoadError {
    LoadError::Damaged {
        path: path.to_owned(),
        form: "ggml file",
        source: fault.into(),
    }
}
