//! Phrases that Whisper invents on silence and noise. Pure.
//!
//! Whisper learnt from subtitles, so on noise it writes what stands at the end of videos. Such a
//! phrase is dropped only when it is the *whole* text of a segment, and whatever the language: on
//! silence the detected language is a guess too. Phrases that people also say to a machine ("Thank
//! you.") are dropped only when the model itself gives silence a fair chance, or is unsure of them.

use std::collections::BTreeSet;

use whisper::{Segment, Transcript};

/// Above this probability of silence a phrase that could be meant is taken for invented.
const SILENCE_IS_LIKELY: f32 = 0.3;
/// Below this mean log probability too: such a phrase is easy to hear where it is said, and music makes −0.7 to −1.7.
const IS_UNSURE: f32 = -0.9;

/// People do not say these to a voice assistant.
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

    /// Takes out the segments whose whole text is an invented phrase, or all of them when they are one together;
    /// returns how many.
    pub fn apply(&self, transcript: &mut Transcript) -> usize {
        let before = transcript.segments.len();
        if self.rejects(&transcript.text, &transcript.segments) {
            transcript.segments.clear();
        }
        transcript
            .segments
            .retain(|segment| !self.rejects(&segment.text, std::slice::from_ref(segment)));
        let dropped = before - transcript.segments.len();
        if dropped > 0 {
            let left = transcript.segments.iter().map(|segment| &*segment.text);
            left.collect::<String>()
                .trim()
                .clone_into(&mut transcript.text);
        }
        dropped
    }

    /// Those of a window that are no invented phrase.
    pub fn kept(&self, segments: &[Segment]) -> Vec<Segment> {
        let mut window = Transcript {
            text: segments.iter().map(|segment| &*segment.text).collect(),
            segments: segments.to_vec(),
            ..Transcript::default()
        };
        self.apply(&mut window);
        window.segments
    }

    /// Whether a text is an invented phrase, `segments` being where it was heard.
    fn rejects(&self, text: &str, segments: &[Segment]) -> bool {
        let text = normalised(text);
        let may_be_silence = |segment: &Segment| {
            segment.no_speech_prob > SILENCE_IS_LIKELY || segment.avg_log_prob < IS_UNSURE
        };
        self.invented.contains(&text)
            || (self.ambiguous.contains(&text) && segments.iter().any(may_be_silence))
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
    use super::*;

    fn segment(text: &str, no_speech_prob: f32, avg_log_prob: f32) -> Segment {
        Segment {
            text: text.to_owned(),
            no_speech_prob,
            avg_log_prob,
            ..Segment::default()
        }
    }

    /// What is left of the segments' text.
    fn left(list: &Blocklist, segments: Vec<Segment>) -> String {
        let text: String = segments.iter().map(|segment| &*segment.text).collect();
        let mut transcript = Transcript {
            text: text.trim().to_owned(),
            segments,
            ..Transcript::default()
        };
        let before = transcript.segments.len();
        let dropped = list.apply(&mut transcript);
        assert_eq!(transcript.segments.len() + dropped, before);
        transcript.text
    }

    fn check(list: &Blocklist, text: &str, no_speech_prob: f32, rejected: bool) {
        let left = left(list, vec![segment(text, no_speech_prob, -0.2)]);
        assert_eq!(left, if rejected { "" } else { text.trim() }, "{text:?}");
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
        assert_eq!(left(&list, vec![segment(" Thank you.", 0.25, -1.1)]), "");
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
    fn each_segment_is_judged_by_itself_and_all_of_them_together() {
        let list = Blocklist::known();
        let of = |texts: &[&str]| texts.iter().map(|text| segment(text, 0.1, -0.2)).collect();
        let thanks = [" Turn it on.", " Thanks for watching!", " Now."];
        assert_eq!(left(&list, of(&thanks)), "Turn it on. Now.");
        assert_eq!(left(&list, of(&[" Thanks", " for watching."])), "");
        assert_eq!(left(&list, Vec::new()), "");
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
