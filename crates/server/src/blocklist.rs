//! Phrases that Whisper invents on silence and noise. Pure.
//!
//! Whisper learnt from subtitles, so on noise it writes what stands at the end of videos. Such a
//! phrase is dropped only when it is the *whole* text, and whatever the language: on silence the
//! detected language is a guess too. Phrases that people also say to a machine ("Thank you.") are
//! dropped only when the model itself gives silence a fair chance.

use std::collections::BTreeSet;

use whisper::Transcript;

/// Above this probability of silence a phrase that could be meant is taken for invented.
const SILENCE_IS_LIKELY: f32 = 0.3;

/// Nobody says these to a voice assistant.
const INVENTED: [&str; 42] = [
    "thanks for watching",
    "thank you for watching",
    "thank you so much for watching",
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
    "untertitelung aufgrund der amara.org-community",
    "vielen dank fürs zuschauen",
    "danke fürs zuschauen",
    "sous-titres réalisés par la communauté d'amara.org",
    "sous-titres réalisés para la communauté d'amara.org",
    "sous-titrage société radio-canada",
    "sous-titrage st' 501",
    "merci d'avoir regardé cette vidéo",
    "subtítulos realizados por la comunidad de amara.org",
    "subtítulos por la comunidad de amara.org",
    "gracias por ver el video",
    "sottotitoli creati dalla comunità amara.org",
    "sottotitoli e revisione a cura di qtss",
    "legendas pela comunidade amara.org",
    "ondertiteld door de amara.org gemeenschap",
    "undertexter från amara.org-gemenskapen",
    "napisy stworzone przez społeczność amara.org",
    "altyazı m.k",
    "продолжение следует",
    "субтитры сделал dimatorzok",
    "субтитры создавал dimatorzok",
    "дякую за перегляд",
    "ご視聴ありがとうございました",
    "最後までご視聴ありがとうございました",
    "시청해주셔서 감사합니다",
    "字幕由amara.org社区提供",
    "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
    "請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目",
];

/// People do say these.
const AMBIGUOUS: [&str; 12] = [
    "thank you",
    "thank you very much",
    "thanks",
    "you",
    "bye",
    "bye-bye",
    "okay",
    "vielen dank",
    "danke",
    "bis zum nächsten mal",
    "merci",
    "gracias",
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

/// Lower case, white space folded, one kind of apostrophe, without punctuation at the ends.
fn normalised(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words
        .join(" ")
        .replace('\u{2019}', "'")
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

    #[test]
    fn every_known_phrase_is_dropped_as_it_is_written() {
        let list = Blocklist::known();
        for phrase in INVENTED {
            check(&list, phrase, 0.0, true);
            check(&list, &format!(" {phrase}! "), 0.0, true);
        }
        for phrase in AMBIGUOUS {
            check(&list, phrase, 0.0, false);
            check(&list, phrase, 0.9, true);
        }
        check(
            &list,
            "Merci d\u{2019}avoir regardé cette vidéo !",
            0.0,
            true,
        );
        check(&list, "ご視聴ありがとうございました。", 0.0, true);
    }

    #[test]
    fn silence_is_asked_of_every_segment() {
        let of = |no_speech_prob| Segment {
            no_speech_prob,
            ..Segment::default()
        };
        let transcript = |segments| Transcript {
            text: "Thank you.".to_owned(),
            segments,
            ..Transcript::default()
        };
        let list = Blocklist::known();
        assert!(!list.rejects(&transcript(Vec::new())));
        assert!(list.rejects(&transcript(vec![of(0.1), of(0.9)])));
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in ".{0,40}") {
            let once = normalised(&text);
            proptest::prop_assert_eq!(normalised(&once), once);
        }

        #[test]
        fn what_is_no_phrase_is_never_dropped(text in "[a-z]{1,6} (light|lamp|door) [a-z]{1,6}") {
            check(&Blocklist::known(), &text, 1.0, false);
        }
    }
}
