//! The tokenizer and the tokens that steer decoding, read from the checkpoint's files.
//!
//! Nothing is known by number: `tokenizer.json` names the special tokens, and
//! `generation_config.json` has the last word where it names one.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use tokenizers::{ModelWrapper, Tokenizer};

use crate::checkpoint::{Checkpoint, LoadError, codes, is_timestamp, languages, looks_special};

/// Whether words go on across it: letters and digits, of scripts that put spaces between words, and parts of a letter.
fn is_of_word(letter: char) -> bool {
    let has_no_spaces = matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{9fff}' | '\u{20000}'..);
    letter == char::REPLACEMENT_CHARACTER || (letter.is_alphanumeric() && !has_no_spaces)
}

/// openai-whisper's latest first timestamp, in steps of 20 ms.
const ONE_SECOND: u32 = 50;
/// Timestamps from 0 to 30 s.
const TIMESTAMPS: u32 = 1501;

/// What to write down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// The words that were said.
    #[default]
    Transcribe,
    /// The same in English.
    Translate,
}

/// Text ⇄ tokens, and the special tokens.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    end_of_text: u32,
    /// Tokens that end a text, [`Self::end_of_text`] among them.
    ends: Vec<u32>,
    start_of_transcript: u32,
    no_timestamps: u32,
    timestamps: Range<u32>,
    /// Words that were added behind the special tokens, with their texts.
    added: BTreeMap<u32, String>,
    start_of_previous: Option<u32>,
    no_speech: Option<u32>,
    tasks: Option<Tasks>,
    languages: BTreeMap<String, u32>,
    suppressed: Vec<u32>,
    suppressed_first: Vec<u32>,
    max_initial_timestamp: Option<u32>,
    /// What is known of the [edges](Self::edges_of) of each token.
    edges: Box<[AtomicU8]>,
}

/// Bits of what is known of a token's edges.
const EDGES_KNOWN: u8 = 1;
const ENDS_WORD: u8 = 2;
const BEGINS_WORD: u8 = 4;

/// Present in multilingual checkpoints.
#[derive(Clone, Copy, Debug)]
struct Tasks {
    transcribe: u32,
    translate: u32,
}

impl Vocabulary {
    /// Reads the tokenizer and finds the special tokens.
    ///
    /// # Errors
    /// When the tokenizer cannot be read or lacks a token without which nothing can be decoded.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, LoadError> {
        let tokenizer = Tokenizer::from_bytes(checkpoint.tokenizer_json()).map_err(|source| {
            LoadError::Tokenizer {
                origin: checkpoint.origin().to_owned(),
                source,
            }
        })?;
        let generation = checkpoint.generation();
        let named = |configured: Option<u32>, names: &[&str]| {
            configured.or_else(|| names.iter().find_map(|name| tokenizer.token_to_id(name)))
        };
        let needed = |configured: Option<u32>, name: &'static str| {
            named(configured, &[name]).ok_or_else(|| LoadError::SpecialTokenMissing {
                origin: checkpoint.origin().to_owned(),
                token: name,
            })
        };
        let ends = &generation.eos_token_id;
        let by_name = tokenizer.token_to_id("<|endoftext|>");
        let by_name = by_name.filter(|end| ends.is_empty() || ends.contains(end));
        let end_of_text = needed(by_name.or_else(|| ends.first().copied()), "<|endoftext|>")?;
        let start_of_transcript =
            needed(generation.decoder_start_token_id, "<|startoftranscript|>")?;
        let no_timestamps = needed(generation.no_timestamps_token_id, "<|notimestamps|>")?;
        let added = tokenizer.get_added_vocabulary().get_vocab();
        let languages = languages(
            checkpoint,
            added.iter().map(|(name, id)| (name.as_str(), *id)),
        );
        let timestamps = timestamps(&tokenizer, no_timestamps);
        let task = |name: &str, token: &str| {
            let configured = generation.task_to_id.as_ref();
            named(
                configured.and_then(|tasks| tasks.get(name).copied()),
                &[token],
            )
        };
        let tasks = task("transcribe", "<|transcribe|>")
            .zip(task("translate", "<|translate|>"))
            .filter(|_| !languages.is_empty())
            .map(|(transcribe, translate)| Tasks {
                transcribe,
                translate,
            });
        let mut vocabulary = Self {
            end_of_text,
            ends: if ends.is_empty() {
                vec![end_of_text]
            } else {
                ends.clone()
            },
            start_of_transcript,
            no_timestamps,
            added: added_words(&tokenizer, end_of_text, &timestamps),
            timestamps,
            start_of_previous: named(generation.prev_sot_token_id, &["<|startofprev|>"]),
            no_speech: named(None, &["<|nospeech|>", "<|nocaptions|>"]),
            tasks,
            languages,
            suppressed: Vec::new(),
            suppressed_first: Vec::new(),
            edges: (0..tokenizer.get_vocab_size(true))
                .map(|_| AtomicU8::new(0))
                .collect(),
            max_initial_timestamp: generation.max_initial_timestamp_index.or(Some(ONE_SECOND)),
            tokenizer,
        };
        vocabulary.suppressed = vocabulary.suppressed_by(generation.suppress_tokens.as_deref());
        vocabulary.suppressed_first =
            vocabulary.suppressed_first_by(generation.begin_suppress_tokens.as_deref());
        Ok(vocabulary)
    }

    /// Whether the checkpoint knows languages other than English.
    pub fn is_multilingual(&self) -> bool {
        !self.languages.is_empty()
    }

    /// Codes of the languages that can be transcribed; `en` alone for English-only checkpoints.
    pub fn languages(&self) -> Vec<String> {
        codes(&self.languages)
    }

    pub(crate) fn language_tokens(&self) -> &BTreeMap<String, u32> {
        &self.languages
    }

    pub(crate) fn end_of_text(&self) -> u32 {
        self.end_of_text
    }

    pub(crate) fn start_of_transcript(&self) -> u32 {
        self.start_of_transcript
    }

    pub(crate) fn no_timestamps(&self) -> u32 {
        self.no_timestamps
    }

    /// Tokens that end a text.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// One for each step of 20 ms.
    pub(crate) fn timestamps(&self) -> Range<u32> {
        self.timestamps.clone()
    }

    pub(crate) fn start_of_previous(&self) -> Option<u32> {
        self.start_of_previous
    }

    pub(crate) fn no_speech(&self) -> Option<u32> {
        self.no_speech
    }

    pub(crate) fn suppressed(&self) -> &[u32] {
        &self.suppressed
    }

    pub(crate) fn suppressed_first(&self) -> &[u32] {
        &self.suppressed_first
    }

    pub(crate) fn max_initial_timestamp(&self) -> Option<u32> {
        self.max_initial_timestamp
    }

    /// Start of transcript, language and task: what every prompt ends with, before
    /// [`Vocabulary::no_timestamps`]. English-only checkpoints have the first alone.
    pub(crate) fn start_sequence(&self, language: &str, task: Task) -> Vec<u32> {
        let mut tokens = vec![self.start_of_transcript];
        if let (Some(&language), Some(tasks)) = (self.languages.get(language), self.tasks) {
            tokens.push(language);
            tokens.push(match task {
                Task::Transcribe => tasks.transcribe,
                Task::Translate => tasks.translate,
            });
        }
        tokens
    }

    /// Text to tokens; no special ones are added or recognised.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.tokenizer
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .unwrap_or_default()
            .into_iter()
            .filter(|&token| self.is_word(token))
            .collect()
    }

    /// Frees what the tokenizer keeps of words that it has split, up to some megabytes.
    pub(crate) fn forget(&self) {
        if let ModelWrapper::BPE(model) = self.tokenizer.get_model() {
            model.clear_cache();
        }
    }

    /// Tokens to text, special ones and timestamps left out.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        let words: Vec<u32> = tokens
            .iter()
            .copied()
            .filter(|&token| self.is_word(token))
            .collect();
        let of_bytes = |run: &[u32]| self.tokenizer.decode(run, false).unwrap_or_default();
        // The tokenizer would take the letters of added words for stand-ins of bytes.
        let is_added = |token: &u32| self.added.contains_key(token);
        let runs = words.chunk_by(|a, b| !is_added(a) && !is_added(b));
        let text = runs.map(|run| match self.added.get(&run[0]) {
            Some(word) => word.clone(),
            None => of_bytes(run),
        });
        text.collect()
    }

    /// Whether a word may end before these tokens, and whether one may begin behind them: `tokens` begin, or end, with
    /// something else than a letter or digit of a script with spaces between words.
    pub(crate) fn edges_of(&self, tokens: &[u32]) -> (bool, bool) {
        let has = |token: Option<&u32>, edge: u8| {
            token.is_none_or(|token| self.edges_of_one(*token) & edge != 0)
        };
        (
            has(tokens.first(), ENDS_WORD),
            has(tokens.last(), BEGINS_WORD),
        )
    }

    fn edges_of_one(&self, token: u32) -> u8 {
        let known = self.edges.get(token as usize);
        let bits = known.map_or(0, |known| known.load(Ordering::Relaxed));
        if bits & EDGES_KNOWN != 0 {
            return bits;
        }
        let text = self.decode(&[token]);
        let is_edge = |letter: Option<char>| letter.is_none_or(|letter| !is_of_word(letter));
        let mut bits = EDGES_KNOWN;
        bits |= ENDS_WORD * u8::from(is_edge(text.chars().next()));
        bits |= BEGINS_WORD * u8::from(is_edge(text.chars().next_back()));
        if let Some(known) = known {
            known.store(bits, Ordering::Relaxed);
        }
        bits
    }

    /// Special tokens come behind the words in every Whisper vocabulary, and words that were added come behind these.
    pub(crate) fn is_word(&self, token: u32) -> bool {
        let is_end = || self.ends.contains(&token);
        (token < self.end_of_text && !is_end()) || self.added.contains_key(&token)
    }

    /// The configured list; the reference's own rule where there is none or it says −1.
    fn suppressed_by(&self, configured: Option<&[i64]>) -> Vec<u32> {
        match configured {
            Some(list) if !list.contains(&-1) => tokens_of(list),
            _ => self.non_speech_tokens(),
        }
    }

    fn suppressed_first_by(&self, configured: Option<&[i64]>) -> Vec<u32> {
        if let Some(list) = configured {
            return tokens_of(list);
        }
        let mut tokens = self.encode(" ");
        tokens.push(self.end_of_text);
        tokens
    }

    /// Signs of silence, and the tokens that only stand in prompts: openai-whisper's
    /// `non_speech_tokens` and `_get_suppress_tokens`.
    fn non_speech_tokens(&self) -> Vec<u32> {
        const SINGLE: &str = "\"#()*+/:;<=>@[\\]^_`{|}~「」『』";
        const LONGER: [&str; 20] = [
            "<<",
            ">>",
            "<<<",
            ">>>",
            "--",
            "---",
            "-(",
            "-[",
            "('",
            "(\"",
            "((",
            "))",
            "(((",
            ")))",
            "[[",
            "]]",
            "{{",
            "}}",
            "♪♪",
            "♪♪♪",
        ];
        // Where one of these takes several tokens, the first is enough to keep it out.
        const MUSIC: &str = "♩♪♫♬♭♮♯";
        let first = |text: &str| self.encode(text).first().copied();
        let only = |text: &str| match self.encode(text)[..] {
            [token] => Some(token),
            _ => None,
        };
        let mut tokens: Vec<u32> = [" -", " '"].into_iter().filter_map(first).collect();
        let singles = SINGLE.chars().map(String::from);
        for text in singles.chain(LONGER.into_iter().map(str::to_owned)) {
            tokens.extend(only(&text));
            tokens.extend(only(&format!(" {text}")));
        }
        for sign in MUSIC.chars() {
            tokens.extend(first(&sign.to_string()));
            tokens.extend(first(&format!(" {sign}")));
        }
        tokens.push(self.start_of_transcript);
        tokens.extend(self.start_of_previous);
        tokens.extend(self.no_speech);
        // English-only checkpoints have the tokens of tasks too, for nothing.
        for steering in ["<|startoflm|>", "<|transcribe|>", "<|translate|>"] {
            tokens.extend(self.tokenizer.token_to_id(steering));
        }
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }
}

fn tokens_of(list: &[i64]) -> Vec<u32> {
    list.iter()
        .filter_map(|&token| u32::try_from(token).ok())
        .collect()
}

/// As many as there are up to 30 s: the tokenizer may not name them.
fn timestamps(tokenizer: &Tokenizer, no_timestamps: u32) -> Range<u32> {
    let first = tokenizer.token_to_id("<|0.00|>");
    let first = first.unwrap_or_else(|| no_timestamps.saturating_add(1));
    let is_word = |token: &u32| {
        let text = tokenizer.id_to_token(*token);
        text.is_some_and(|text| !is_timestamp(&text))
    };
    let end = first.saturating_add(TIMESTAMPS);
    let end = (first..end).find(is_word).unwrap_or(end);
    first..end
}

/// Words behind the special tokens: those who train a model further add some.
fn added_words(
    tokenizer: &Tokenizer,
    end_of_text: u32,
    timestamps: &Range<u32>,
) -> BTreeMap<u32, String> {
    let added = tokenizer.get_added_tokens_decoder().into_iter();
    added
        .filter(|(token, _)| *token >= end_of_text && !timestamps.contains(token))
        .filter(|(_, added)| !added.special && !looks_special(&added.content))
        .map(|(token, added)| (token, added.content))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::TinyCheckpoint;

    /// The vocabulary of a checkpoint whose generation config was changed.
    fn vocabulary(tiny: &TinyCheckpoint, change: impl FnOnce(&mut Value)) -> Vocabulary {
        let directory = tempfile::tempdir().unwrap();
        tiny.write(directory.path()).unwrap();
        let mut generation = tiny.generation_config();
        change(&mut generation);
        let path = directory.path().join("generation_config.json");
        fs::write(path, generation.to_string()).unwrap();
        Vocabulary::read(&Checkpoint::open(directory.path()).unwrap()).unwrap()
    }

    fn suppressed_by_the_reference(checkpoint: &str) -> Vec<u32> {
        let golden = include_str!("../tests/reference/golden/generation.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        serde_json::from_value(golden["suppressed"][checkpoint].clone()).unwrap()
    }

    #[test]
    fn suppressed_tokens_are_derived_as_in_the_reference() {
        for (name, tiny) in [
            ("multilingual", TinyCheckpoint::multilingual()),
            ("english", TinyCheckpoint::english()),
        ] {
            let expected = suppressed_by_the_reference(name);
            let minus_one = vocabulary(&tiny, |config| config["suppress_tokens"] = json!([-1]));
            assert_eq!(minus_one.suppressed(), expected, "{name}");
        }
    }

    #[cfg(feature = "demo-model")]
    #[test]
    fn suppressed_tokens_of_merged_bytes_are_derived_as_in_the_reference() {
        let demo = Vocabulary::read(&Checkpoint::demo().unwrap()).unwrap();
        assert!(demo.suppressed().is_empty());
        assert_eq!(
            demo.non_speech_tokens(),
            suppressed_by_the_reference("demo")
        );
    }

    #[test]
    fn configured_tokens_are_suppressed() {
        let found = vocabulary(&TinyCheckpoint::multilingual(), |config| {
            config["suppress_tokens"] = json!([7, 9]);
            config["begin_suppress_tokens"] = json!([8]);
        });
        assert_eq!(found.suppressed(), [7, 9]);
        assert_eq!(found.suppressed_first(), [8]);
    }

    #[test]
    fn old_config_takes_everything_from_the_tokenizer() {
        let tiny = TinyCheckpoint::multilingual();
        let whole = vocabulary(&tiny, |_| {});
        let old = vocabulary(&tiny, |config| *config = json!({}));
        assert_eq!(old.languages(), ["de", "en", "fr"]);
        assert_eq!(old.languages, whole.languages);
        let start = old.start_sequence("de", Task::Translate);
        assert_eq!(start, whole.start_sequence("de", Task::Translate));
        assert_eq!(start.len(), 3);
        assert_eq!(old.start_of_previous(), whole.start_of_previous());
        assert_eq!(old.no_speech(), whole.no_speech());
        assert_eq!(old.timestamps(), whole.timestamps());
        assert_eq!(old.max_initial_timestamp(), Some(50));
    }

    #[test]
    fn english_only_checkpoint_starts_without_language_and_task() {
        let english = vocabulary(&TinyCheckpoint::english(), |_| {});
        assert!(!english.is_multilingual());
        assert_eq!(english.languages(), ["en"]);
        let start = english.start_sequence("en", Task::Transcribe);
        assert_eq!(start, [english.start_of_transcript()]);
    }

    #[test]
    fn text_cannot_smuggle_special_tokens_in() {
        let words = vocabulary(&TinyCheckpoint::multilingual(), |_| {});
        let tokens = words.encode(" a<|endoftext|>b<|0.00|>");
        assert!(tokens.iter().all(|&token| token < words.end_of_text()));
        assert_eq!(words.decode(&tokens), " ab");
    }
}
