//! Phrases that Whisper invents on silence and noise. Pure.
//!
//! Whisper learnt from subtitles, so on noise it writes what stands at the end of videos. Such a
//! phrase is dropped only when it is the *whole* text. Phrases that people also say to a machine
//! ("Thank you.") are dropped only when the model itself gives silence a fair chance.

use std::collections::BTreeSet;

use whisper::Transcript;

/// Above this probability of silence a phrase that could be meant is taken for invented.
const SILENCE_IS_LIKELY: f32 = 0.3;

/// Nobody says these to a voice assistant.
const INVENTED: [&str; 22] = [
    "thanks for watching",
    "thank you for watching",
    "thanks for watching and see you next time",
    "please subscribe",
    "please subscribe to my channel",
    "like and subscribe",
    "don't forget to like and subscribe",
    "subtitles by the amara.org community",
    "subtitles by",
    "transcription by castingwords",
    "untertitel im auftrag des zdf für funk",
    "untertitel der amara.org-community",
    "untertitelung des zdf",
    "vielen dank fürs zuschauen",
    "bis zum nächsten mal",
    "sous-titres réalisés par la communauté d'amara.org",
    "merci d'avoir regardé cette vidéo",
    "subtítulos realizados por la comunidad de amara.org",
    "sottotitoli creati dalla comunità amara.org",
    "ondertiteld door de amara.org gemeenschap",
    "ご視聴ありがとうございました",
    "字幕由amara.org社区提供",
];

/// People do say these.
const AMBIGUOUS: [&str; 8] = [
    "thank you",
    "thank you very much",
    "thanks",
    "you",
    "bye",
    "vielen dank",
    "danke",
    "merci",
];

/// The phrases in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    invented: BTreeSet<String>,
    ambiguous: BTreeSet<String>,
}

impl Blocklist {
    /// The phrases that are known.
    pub fn known() -> Self {
        Self {
            invented: INVENTED.into_iter().map(normalised).collect(),
            ambiguous: AMBIGUOUS.into_iter().map(normalised).collect(),
        }
    }

    /// Nothing is dropped.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds phrases, one a line; empty lines and those that begin with `#` are passed over.
    pub fn extend(&mut self, lines: &str) {
        let phrases = lines.lines().map(str::trim);
        self.invented.extend(
            phrases
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(normalised),
        );
    }

    /// Whether the whole text is an invented phrase.
    pub fn rejects(&self, transcript: &Transcript) -> bool {
        let text = normalised(&transcript.text);
        let silence = transcript
            .segments
            .iter()
            .map(|segment| segment.no_speech_prob)
            .fold(0.0, f32::max);
        self.invented.contains(&text)
            || (silence > SILENCE_IS_LIKELY && self.ambiguous.contains(&text))
    }
}

/// Lower case, white space folded, without punctuation at the ends.
fn normalised(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words
        .join(" ")
        .trim_matches(|c: char| !c.is_alphanumeric())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use whisper::Segment;

    use super::*;

    fn check(list: &Blocklist, text: &str, no_speech_prob: f32, rejected: bool) {
        let transcript = Transcript {
            text: text.to_owned(),
            segments: vec![Segment {
                no_speech_prob,
                ..Segment::default()
            }],
            ..Transcript::default()
        };
        assert_eq!(list.rejects(&transcript), rejected, "{text:?}");
    }

    #[test]
    fn only_a_whole_invented_phrase_is_dropped() {
        let list = Blocklist::known();
        check(&list, " Thanks  for watching! ", 0.0, true);
        check(&list, "Thanks for watching the oven.", 0.9, false);
        check(&list, "", 0.9, false);
    }

    #[test]
    fn what_people_say_is_dropped_only_when_silence_is_likely() {
        let list = Blocklist::known();
        check(&list, "Thank you.", 0.05, false);
        check(&list, "Thank you.", 0.5, true);
    }

    #[test]
    fn the_list_can_be_extended_and_emptied() {
        let mut list = Blocklist::empty();
        check(&list, "Thanks for watching!", 0.9, false);
        list.extend("# ours\n\nBuy now!\n");
        check(&list, "buy now", 0.0, true);
    }
}
