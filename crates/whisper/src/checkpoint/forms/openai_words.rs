//! The words of OpenAI's `.pt`, which has none: a file beside it.

use super::hugging_face;
use crate::checkpoint::{
    LoadError,
    folder::Folder,
    tiktoken,
    tokenizer::{from_words, special_tokens, special_tokens_behind},
};

/// Files of transformers that are enough.
const OF_TRANSFORMERS: [&str; 2] = ["tokenizer.json", "vocab.json"];
const MULTILINGUAL: &str = "multilingual.tiktoken";
const ENGLISH: &str = "gpt2.tiktoken";
/// Size of the vocabulary of OpenAI's English-only checkpoints.
const ENGLISH_ONLY_VOCABULARY: usize = 51_864;

/// Transformers' files, or the file of words that OpenAI's package has for models of this vocabulary.
///
/// # Errors
/// [`LoadError::FileMissing`], saying which file to put there.
pub(super) fn beside(folder: Folder<'_>, vocabulary: usize) -> Result<Vec<u8>, LoadError> {
    let is_there = |name: &&str| folder.path().join(name).exists();
    if OF_TRANSFORMERS.iter().any(is_there) {
        return hugging_face::tokenizer(folder, vocabulary);
    }
    let (name, remedy) = if vocabulary == ENGLISH_ONLY_VOCABULARY {
        (
            ENGLISH,
            "a .pt of OpenAI's has no words in it; put this file of the package openai-whisper (whisper/assets) beside it, or a tokenizer.json such as that of openai/whisper-tiny.en",
        )
    } else {
        (
            MULTILINGUAL,
            "a .pt of OpenAI's has no words in it; put this file of the package openai-whisper (whisper/assets) beside it, or the tokenizer.json of a model with the same vocabulary such as openai/whisper-tiny",
        )
    };
    let (path, bytes) = folder.required(name, remedy)?;
    let words = tiktoken::read(&path, &bytes)?;
    let added = special_tokens(vocabulary)
        .or_else(|| special_tokens_behind(words.len(), vocabulary))
        .filter(|added| {
            added
                .first()
                .is_some_and(|end| end.id as usize == words.len())
        });
    let added = added.ok_or(LoadError::VocabularySize {
        path,
        found: words.len(),
        expected: vocabulary,
    })?;
    Ok(from_words(&words, &added))
}
