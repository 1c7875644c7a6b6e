//! Which words are settled while speech goes on. Pure.
//!
//! At each pause the words so far are heard again, from the start of the utterance. Those that are settled are told, and
//! all that is heard later, and the transcript, are made to begin with them ([`whisper::Beginning`]). So what is settled
//! too early costs accuracy: of 207 recordings with pauses, tiny.en and base have other words in 3 when everything is
//! settled that a pause gives, and in none and 1 by this rule, which settles nine in ten as soon.

use std::sync::Arc;

use whisper::{Beginning, Language, Options, Vocabulary};
use wyoming::Event;

use super::hearing::Part;
use super::told::Told;

/// Mean log probability above which the words of one pause are settled; others are when the next pause has the same.
const SURE: f32 = -0.3;

/// The words of an utterance that goes on.
#[derive(Debug, Default)]
pub(super) struct Partial {
    told: Told,
    settled: Option<Arc<Beginning>>,
    /// What the last pause gave.
    former: Option<Beginning>,
}

impl Partial {
    /// Takes what was heard of the first `samples` of the audio; what there is to tell.
    pub(super) fn hear(
        &mut self,
        vocabulary: &Vocabulary,
        part: &Part,
        samples: usize,
    ) -> Vec<Event> {
        let [segment] = &part.segments[..] else {
            return Vec::new();
        };
        let heard = Beginning::of(vocabulary, &part.language, segment, samples);
        let settled = heard.as_ref().and_then(|heard| {
            if heard.avg_log_prob() > SURE {
                return Some(heard.clone());
            }
            self.former.as_ref()?.shared(vocabulary, heard)
        });
        self.former = heard;
        let Some(settled) = settled else {
            return Vec::new();
        };
        let events = self.told.so_far(&part.language, settled.text());
        if !events.is_empty() {
            self.settled = Some(Arc::new(settled));
        }
        events
    }

    /// What is heard from now on begins with the words that are settled, in their language.
    pub(super) fn hold(&self, options: &mut Options) {
        if let Some(settled) = &self.settled {
            options.language = Language::Fixed(settled.language().to_owned());
            options.beginning = Some(Arc::clone(settled));
        }
    }

    /// What was told.
    pub(super) fn into_told(self) -> Told {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use whisper::{Checkpoint, Segment};

    use super::*;

    struct Bench {
        vocabulary: Vocabulary,
        partial: Partial,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                vocabulary: Vocabulary::read(&Checkpoint::demo().unwrap()).unwrap(),
                partial: Partial::default(),
            }
        }

        fn segment(&self, text: &str, avg_log_prob: f32) -> Segment {
            Segment {
                tokens: self.vocabulary.encode(text),
                avg_log_prob,
                ..Segment::default()
            }
        }

        /// The chunks that a pause with these segments gives.
        fn pause(&mut self, segments: Vec<Segment>) -> String {
            let language = "en".to_owned();
            let part = Part { language, segments };
            let events = self.partial.hear(&self.vocabulary, &part, 16_000);
            let chunk = |event| match event {
                Event::TranscriptChunk { text } => text,
                _ => String::new(),
            };
            events.into_iter().map(chunk).collect()
        }

        fn check(&mut self, text: &str, avg_log_prob: f32, expected: &str) {
            let segment = self.segment(text, avg_log_prob);
            assert_eq!(self.pause(vec![segment]), expected, "{text}");
        }

        /// The language and the words that are held.
        fn held(&self) -> Option<(String, String)> {
            let mut options = Options::default();
            self.partial.hold(&mut options);
            let words = options.beginning?.text().to_owned();
            match options.language {
                Language::Fixed(language) => Some((language, words)),
                Language::Detect { .. } => None,
            }
        }
    }

    #[test]
    fn what_the_model_is_sure_of_is_sent_at_once_and_held() {
        let mut bench = Bench::new();
        assert_eq!(bench.held(), None);
        bench.check(" Turn on the", SURE + 0.1, "Turn on the");
        bench.check(" Turn on the light.", SURE + 0.1, " light");
        let held = ["en", "Turn on the light"].map(str::to_owned);
        assert_eq!(bench.held(), Some(held.into()));
    }

    #[test]
    fn of_what_it_is_not_sure_of_the_words_that_two_pauses_share_are_sent() {
        let mut bench = Bench::new();
        bench.check(" Turn on the night", SURE - 0.1, "");
        assert_eq!(bench.held(), None);
        bench.check(" Turn on the light", SURE - 0.1, "Turn on the");
        bench.check(" Burn it", SURE - 0.1, "");
        let held = ["en", "Turn on the"].map(str::to_owned);
        assert_eq!(bench.held(), Some(held.into()));
    }

    #[test]
    fn silence_and_several_segments_settle_nothing() {
        let mut bench = Bench::new();
        bench.check(" ...", 0.0, "");
        let two = [" Turn on", " the light"].map(|text| bench.segment(text, 0.0));
        assert_eq!(bench.pause(two.into()), "");
        assert_eq!(bench.pause(Vec::new()), "");
        assert_eq!(bench.held(), None);
    }
}
