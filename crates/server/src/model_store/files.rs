//! Which files of a repository a model is made of.

/// The shape of the model.
pub(super) const CONFIG: &str = "config.json";

/// Weights in one file, and the index of those that are in several; the most wanted first.
pub(super) const WEIGHTS: [(&str, Option<&str>); 3] = [
    (SAFETENSORS, Some("model.safetensors.index.json")),
    (CTRANSLATE2, None),
    ("pytorch_model.bin", Some("pytorch_model.bin.index.json")),
];
/// Weights of transformers.
pub(super) const SAFETENSORS: &str = "model.safetensors";
/// Weights of CTranslate2.
pub(super) const CTRANSLATE2: &str = "model.bin";

/// Files that have the words of a model together, the most wanted first.
pub(super) const WORDS: [&[&str]; 4] = [
    &["tokenizer.json"],
    &["vocab.json", "merges.txt"],
    &["vocabulary.json"],
    &["vocabulary.txt"],
];

/// Files that some checkpoints lack. CTranslate2's have what these say in `config.json`.
pub(super) const OPTIONAL: [&str; 2] = ["generation_config.json", "preprocessor_config.json"];
/// What belongs to `vocab.json`, where words were added.
#[cfg_attr(
    not(feature = "hub"),
    expect(dead_code, reason = "only a download asks for it")
)]
pub(super) const ADDED: &str = "added_tokens.json";
