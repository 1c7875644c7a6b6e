//! What the events of one connection mean, in order. Pure: no clock, no socket, no audio.
//!
//! Source: the state machine and the tolerance of the reference servers. Audio without
//! `audio-start`, `transcribe` after the first chunk and a second `audio-start` are all accepted, as
//! they are; `audio-stop` without audio is an utterance of silence.

use std::sync::Arc;

use wyoming::{AudioFormat, Event, Excerpt, Transcribe};

use super::request::Request;
use crate::describe::PROGRAM;
use crate::fault::Fault;

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    /// Names under which the model may be asked for.
    model: String,
    request: Arc<Request>,
    receiving: bool,
}

/// What to do about an event.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Nothing,
    /// Answer with the info.
    Describe,
    /// Answer with this event.
    Reply(Event),
    /// Audio belongs to the current utterance, which begins with it if there is none.
    Append(AudioFormat, bytes::Bytes),
    /// The utterance is over: transcribe what there is.
    Transcribe(Arc<Request>),
    /// Tell the client and close.
    Fail(Fault),
}

impl Session {
    /// A connection on which nothing was said yet, to a server of this model.
    pub fn new(model: String) -> Self {
        Self {
            model,
            request: Arc::default(),
            receiving: false,
        }
    }

    /// Whether an utterance has begun and not ended.
    pub fn is_receiving(&self) -> bool {
        self.receiving
    }

    /// How the current utterance is wanted, as far as the client has said.
    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// What the next event of the client asks for.
    pub fn take(&mut self, event: Event) -> Step {
        match event {
            Event::Describe => Step::Describe,
            Event::Ping { text } => Step::Reply(Event::Pong { text }),
            Event::SelectProgram { name } if name == PROGRAM => Step::Nothing,
            Event::SelectProgram { name } => Step::Fail(Fault::UnknownProgram {
                name: Excerpt::of(&name),
                available: PROGRAM,
            }),
            Event::Transcribe(request) => self.keep(&request),
            Event::AudioStart(_) => {
                self.receiving = true;
                Step::Nothing
            }
            Event::AudioChunk(chunk) => {
                self.receiving = true;
                Step::Append(chunk.format, chunk.pcm)
            }
            Event::AudioStop { .. } => {
                self.receiving = false;
                Step::Transcribe(std::mem::take(&mut self.request))
            }
            _ => Step::Nothing,
        }
    }

    /// A client that asks for another model gets the one that is served, as wyoming-faster-whisper does.
    fn keep(&mut self, request: &Transcribe) -> Step {
        if let Some(asked) = request.name.as_deref()
            && !asked.is_empty()
            && asked != self.model
        {
            tracing::info!(
                asked = %Excerpt::of(asked),
                served = self.model,
                "another model was asked for, answering with the one that is served"
            );
        }
        match Request::read(request) {
            Ok(request) => {
                self.request = Arc::new(request);
                Step::Nothing
            }
            Err(fault) => Step::Fail(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use wyoming::{AudioChunk, AudioStart, Transcript};

    use super::*;

    fn format() -> AudioFormat {
        AudioFormat::new(16_000, 2, 1).unwrap()
    }

    fn start() -> Event {
        Event::AudioStart(AudioStart {
            format: format(),
            timestamp_ms: None,
        })
    }

    fn chunk() -> Event {
        Event::AudioChunk(AudioChunk {
            format: format(),
            timestamp_ms: None,
            pcm: Bytes::from_static(b"ab"),
        })
    }

    fn stop() -> Event {
        Event::AudioStop { timestamp_ms: None }
    }

    fn german() -> Transcribe {
        Transcribe {
            language: Some("de".to_owned()),
            ..Transcribe::default()
        }
    }

    /// What the server makes of [`german`].
    fn in_german() -> Step {
        Step::Transcribe(Arc::new(Request::read(&german()).unwrap()))
    }

    fn as_usual() -> Step {
        Step::Transcribe(Arc::default())
    }

    fn append() -> Step {
        Step::Append(format(), Bytes::from_static(b"ab"))
    }

    fn check(script: Vec<(Event, Step)>) {
        let mut session = Session::new("demo".to_owned());
        for (event, expected) in script {
            let kind = event.kind().to_owned();
            assert_eq!(session.take(event), expected, "{kind}");
        }
    }

    #[test]
    fn an_utterance_ends_with_its_request() {
        check(vec![
            (Event::Describe, Step::Describe),
            (Event::Transcribe(german()), Step::Nothing),
            (start(), Step::Nothing),
            (chunk(), append()),
            (stop(), in_german()),
            (start(), Step::Nothing),
            (stop(), as_usual()),
        ]);
    }

    #[test]
    fn order_is_as_free_as_in_the_reference() {
        check(vec![
            (chunk(), append()),
            (Event::Transcribe(german()), Step::Nothing),
            (start(), Step::Nothing),
            (chunk(), append()),
            (stop(), in_german()),
            (stop(), as_usual()),
        ]);
    }

    #[test]
    fn events_of_other_services_are_ignored() {
        let other = Event::Other {
            kind: "synthesize".to_owned(),
        };
        let ping = Event::Ping {
            text: Some("a".to_owned()),
        };
        let pong = Event::Pong {
            text: Some("a".to_owned()),
        };
        check(vec![
            (other, Step::Nothing),
            (Event::Transcript(Transcript::default()), Step::Nothing),
            (ping, Step::Reply(pong)),
        ]);
    }

    #[test]
    fn an_unknown_program_is_a_fault_and_another_model_is_not() {
        let select = |name: &str| Event::SelectProgram {
            name: name.to_owned(),
        };
        let model = |name: &str| {
            Event::Transcribe(Transcribe {
                name: Some(name.to_owned()),
                ..Transcribe::default()
            })
        };
        check(vec![
            (select(PROGRAM), Step::Nothing),
            (model("demo"), Step::Nothing),
            (model(""), Step::Nothing),
            (model("base"), Step::Nothing),
            (
                select("whisper"),
                Step::Fail(Fault::UnknownProgram {
                    name: Excerpt::of("whisper"),
                    available: PROGRAM,
                }),
            ),
        ]);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Describe),
            Just(Event::Transcribe(german())),
            Just(start()),
            Just(chunk()),
            Just(stop()),
            Just(Event::TranscriptStop),
        ]
    }

    proptest! {
        #[test]
        fn each_end_of_audio_is_one_utterance_with_the_last_request_before_it(
            events in proptest::collection::vec(any_event(), 0..60),
        ) {
            let mut session = Session::new("demo".to_owned());
            let (mut expected, mut receiving) = (Arc::<Request>::default(), false);
            for event in events {
                let step = session.take(event.clone());
                match event {
                    Event::AudioStop { .. } => {
                        prop_assert_eq!(step, Step::Transcribe(std::mem::take(&mut expected)));
                        receiving = false;
                    }
                    Event::AudioChunk(_) => {
                        prop_assert_eq!(step, append());
                        receiving = true;
                    }
                    other => {
                        prop_assert!(matches!(step, Step::Nothing | Step::Describe));
                        receiving |= matches!(other, Event::AudioStart(_));
                        if let Event::Transcribe(request) = other {
                            expected = Arc::new(Request::read(&request).unwrap());
                        }
                    }
                }
                prop_assert_eq!(session.is_receiving(), receiving);
                prop_assert_eq!(session.request(), &expected);
            }
        }
    }
}
