//! What a client is told of an utterance's words before all of them are there: `transcript-start`, each
//! `transcript-chunk`, then the `transcript`, which is all that older clients read, and `transcript-stop`. Pure.
//!
//! A chunk is never taken back: all of them together are the text of the transcript.

use wyoming::{Event, Transcript, TranscriptStart};

/// What one client was told of one utterance.
#[derive(Debug, Default)]
pub(super) struct Told {
    has_begun: bool,
    text: String,
    /// Of the windows that are done.
    heard: String,
}

impl Told {
    /// The events that tell what is new in `text`, which are the words so far. None when they do not go on from what was
    /// told.
    pub(super) fn so_far(&mut self, language: &str, text: &str) -> Vec<Event> {
        let Some(fresh) = text.trim().strip_prefix(&*self.text) else {
            return Vec::new();
        };
        if fresh.is_empty() {
            return Vec::new();
        }
        let text = fresh.to_owned();
        self.text.push_str(&text);
        let begin = self.begin(language);
        let chunk = Event::TranscriptChunk { text };
        begin.into_iter().chain([chunk]).collect()
    }

    /// Another window is done; `text` is what it adds.
    pub(super) fn window(&mut self, language: &str, text: &str) -> Vec<Event> {
        self.heard.push_str(text);
        let heard = std::mem::take(&mut self.heard);
        let events = self.so_far(language, &heard);
        self.heard = heard;
        events
    }

    /// The events that end it. Should the transcript not go on from what was told, that is the transcript.
    pub(super) fn end(mut self, mut transcript: Transcript) -> Vec<Event> {
        if !transcript.text.starts_with(&self.text) {
            tracing::warn!("the transcript does not begin with the words that were sent before");
            transcript.text.clone_from(&self.text);
        }
        let language = transcript.language.clone().unwrap_or_default();
        let rest = self.so_far(&language, &transcript.text);
        let begin = self.begin(&language);
        let end = [Event::Transcript(transcript), Event::TranscriptStop];
        begin.into_iter().chain(rest).chain(end).collect()
    }

    /// The utterance has no transcript.
    pub(super) fn abandon(self) -> Option<Event> {
        self.has_begun.then_some(Event::TranscriptStop)
    }

    fn begin(&mut self, language: &str) -> Option<Event> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let language = Some(language.to_owned()).filter(|language| !language.is_empty());
        let start = TranscriptStart {
            language,
            context: None,
        };
        is_first.then_some(Event::TranscriptStart(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and texts, one for each event.
    fn shown(events: Vec<Event>) -> String {
        let show = |event: Event| match event {
            Event::TranscriptStart(start) => format!("<{}", start.language.unwrap_or_default()),
            Event::TranscriptChunk { text } => format!("+{text}"),
            Event::Transcript(transcript) => format!("={}", transcript.text),
            Event::TranscriptStop => ">".to_owned(),
            other => panic!("{other:?}"),
        };
        let events: Vec<String> = events.into_iter().map(show).collect();
        events.join("|")
    }

    fn ended(told: Told, text: &str) -> String {
        shown(told.end(Transcript {
            text: text.to_owned(),
            language: Some("en".to_owned()),
            context: None,
        }))
    }

    #[test]
    fn chunks_are_the_transcript() {
        let mut told = Told::default();
        assert_eq!(shown(told.so_far("en", " Turn on")), "<en|+Turn on");
        assert_eq!(shown(told.so_far("en", "Turn on")), "");
        assert_eq!(shown(told.so_far("en", "Turn on the")), "+ the");
        assert_eq!(
            ended(told, "Turn on the light."),
            "+ light.|=Turn on the light.|>"
        );
    }

    #[test]
    fn without_chunks_the_transcript_is_one() {
        assert_eq!(ended(Told::default(), "Yes."), "<en|+Yes.|=Yes.|>");
        assert_eq!(ended(Told::default(), ""), "<en|=|>");
    }

    #[test]
    fn windows_add_up() {
        let mut told = Told::default();
        assert_eq!(shown(told.so_far("en", "One")), "<en|+One");
        assert_eq!(shown(told.window("en", " One, two.")), "+, two.");
        assert_eq!(shown(told.window("en", " Three.")), "+ Three.");
        assert_eq!(ended(told, "One, two. Three."), "=One, two. Three.|>");
    }

    #[test]
    fn what_was_told_is_not_taken_back() {
        let mut told = Told::default();
        told.so_far("en", "Thank you for");
        assert_eq!(shown(told.so_far("en", "Thanks for")), "");
        assert_eq!(ended(told, ""), "=Thank you for|>");
    }

    #[test]
    fn an_abandoned_one_ends_if_it_had_begun() {
        assert_eq!(Told::default().abandon(), None);
        let mut told = Told::default();
        told.so_far("", "Turn");
        assert_eq!(told.abandon(), Some(Event::TranscriptStop));
    }
}
