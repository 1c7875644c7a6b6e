//! What the events of one connection mean, in order. Pure: no clock, no socket, no audio.
//!
//! Source: the state machine and the tolerance of the reference servers. Audio without `audio-start`
//! and `transcribe` after the last chunk are accepted, and `audio-stop` without audio is an utterance
//! of silence. An utterance that its client abandoned is not part of the next: an `audio-start` begins
//! anew, as most servers have it, and so does the first chunk behind a `transcribe`, as in those that
//! empty their buffer there. (wyoming-faster-whisper 3.8.1 does neither: it transcribes both as one.)

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
    /// How far the current utterance is.
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not begun.
    None,
    /// It has begun without audio.
    Begun,
    /// Audio of it has come.
    Heard,
    /// Audio of it has come, and then another request, which may be for it or for the next.
    Renewed,
    /// The server has ended it; what the client still sends of it is passed over.
    Ended,
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
    /// The current utterance, whose audio has come in part, is wanted like this; unless audio follows,
    /// which is that of the next.
    Want(Arc<Request>),
    /// What there is of the current utterance is of no use.
    Abandon,
    /// Audio belongs to the current utterance, which begins with it if there is none.
    Append {
        /// How to read it.
        format: AudioFormat,
        /// Some of it.
        pcm: bytes::Bytes,
        /// It is the first of another utterance, and what there was before is of no use.
        anew: bool,
    },
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
            stage: Stage::None,
        }
    }

    /// Whether an utterance has begun and not ended.
    pub fn is_receiving(&self) -> bool {
        !matches!(self.stage, Stage::None | Stage::Ended)
    }

    /// The server ends the current utterance: how it is wanted.
    pub fn end_utterance(&mut self) -> Arc<Request> {
        self.stage = Stage::Ended;
        std::mem::take(&mut self.request)
    }

    /// How an utterance that begins now is wanted, as far as the client has said.
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
            Event::AudioStart(_) => match std::mem::replace(&mut self.stage, Stage::Begun) {
                Stage::None | Stage::Begun | Stage::Ended => Step::Nothing,
                Stage::Heard | Stage::Renewed => Step::Abandon,
            },
            Event::AudioChunk(_) if self.stage == Stage::Ended => Step::Nothing,
            Event::AudioChunk(chunk) => Step::Append {
                format: chunk.format,
                pcm: chunk.pcm,
                anew: std::mem::replace(&mut self.stage, Stage::Heard) == Stage::Renewed,
            },
            Event::AudioStop { .. } if self.stage == Stage::Ended => {
                self.stage = Stage::None;
                Step::Nothing
            }
            Event::AudioStop { .. } => {
                self.stage = Stage::None;
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
                match self.stage {
                    Stage::None | Stage::Begun => Step::Nothing,
                    Stage::Ended => {
                        self.stage = Stage::None;
                        Step::Nothing
                    }
                    Stage::Heard | Stage::Renewed => {
                        self.stage = Stage::Renewed;
                        Step::Want(Arc::clone(&self.request))
                    }
                }
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
    fn request() -> Arc<Request> {
        Arc::new(Request::read(&german()).unwrap())
    }

    fn in_german() -> Step {
        Step::Transcribe(request())
    }

    fn as_usual() -> Step {
        Step::Transcribe(Arc::default())
    }

    fn append() -> Step {
        appended(false)
    }

    fn appended(anew: bool) -> Step {
        Step::Append {
            format: format(),
            pcm: Bytes::from_static(b"ab"),
            anew,
        }
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
            (Event::Transcribe(german()), Step::Want(request())),
            (stop(), in_german()),
            (start(), Step::Nothing),
            (Event::Transcribe(german()), Step::Nothing),
            (start(), Step::Nothing),
            (chunk(), append()),
            (stop(), in_german()),
            (stop(), as_usual()),
        ]);
    }

    #[test]
    fn an_abandoned_utterance_is_no_part_of_the_next() {
        check(vec![
            (start(), Step::Nothing),
            (chunk(), append()),
            (start(), Step::Abandon),
            (start(), Step::Nothing),
            (chunk(), append()),
            (Event::Transcribe(german()), Step::Want(request())),
            (Event::Transcribe(german()), Step::Want(request())),
            (chunk(), appended(true)),
            (chunk(), append()),
            (Event::Transcribe(german()), Step::Want(request())),
            (start(), Step::Abandon),
            (chunk(), append()),
            (stop(), in_german()),
        ]);
    }

    /// A client that has not seen its words yet goes on for a while.
    #[test]
    fn what_comes_of_an_utterance_that_the_server_ended_is_passed_over() {
        let mut session = Session::new("demo".to_owned());
        session.take(Event::Transcribe(german()));
        assert_eq!(session.take(chunk()), append());
        assert_eq!(session.end_utterance(), request());
        assert!(!session.is_receiving());
        for event in [chunk(), chunk(), stop()] {
            assert_eq!(session.take(event), Step::Nothing);
        }
        // The next has its own request.
        assert_eq!(session.take(chunk()), append());
        assert_eq!(session.end_utterance(), Arc::default());
        assert_eq!(session.take(start()), Step::Nothing);
        assert!(session.is_receiving());
        assert_eq!(session.take(chunk()), append());
        session.end_utterance();
        assert_eq!(session.take(Event::Transcribe(german())), Step::Nothing);
        assert_eq!(session.take(chunk()), append());
        assert_eq!(session.take(stop()), in_german());
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
            // Whether audio has come, and a request since.
            let (mut heard, mut renewed) = (false, false);
            for event in events {
                let step = session.take(event.clone());
                match event {
                    Event::AudioStop { .. } => {
                        prop_assert_eq!(step, Step::Transcribe(std::mem::take(&mut expected)));
                        (receiving, heard, renewed) = (false, false, false);
                    }
                    Event::AudioChunk(_) => {
                        prop_assert_eq!(step, appended(heard && renewed));
                        (receiving, heard, renewed) = (true, true, false);
                    }
                    Event::AudioStart(_) => {
                        prop_assert_eq!(step == Step::Abandon, heard);
                        (receiving, heard, renewed) = (true, false, false);
                    }
                    other => {
                        if let Event::Transcribe(request) = other {
                            expected = Arc::new(Request::read(&request).unwrap());
                            renewed = true;
                            let wanted = Step::Want(Arc::clone(&expected));
                            prop_assert_eq!(step, if heard { wanted } else { Step::Nothing });
                        } else {
                            prop_assert!(matches!(step, Step::Nothing | Step::Describe));
                        }
                    }
                }
                prop_assert_eq!(session.is_receiving(), receiving);
                prop_assert_eq!(session.request(), &expected);
            }
        }
    }
}
