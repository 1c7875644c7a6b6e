//! What the worker runs: Whisper, or a stand-in that tests hold in their hand.

use std::fmt;

use whisper::{Source, Whisper};

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Utterances.
    pub utterances: usize,
    /// Hypotheses of each, at most.
    pub beams: usize,
}

/// Turns utterances into transcripts.
pub trait Recognizer: Send {
    /// Transcribes what `source` brings, until it brings nothing and all are done.
    fn recognize(&mut self, room: Room, source: &mut dyn Source);
}

impl Recognizer for Whisper {
    fn recognize(&mut self, room: Room, source: &mut dyn Source) {
        self.transcribe_from(room.utterances, room.beams, source);
    }
}

impl fmt::Debug for dyn Recognizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Recognizer")
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use std::collections::VecDeque;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use whisper::{Input, Transcript, WhisperError};

    use super::*;

    /// What the fake does next with those that run.
    #[derive(Clone, Debug)]
    pub(crate) enum Order {
        /// The same to all.
        Say(&'static str),
        /// To the one that joined first; the others go on.
        SayFirst(&'static str),
        /// Nothing, but others may join.
        LetIn,
        /// No words, without a pass of the network.
        Silence,
        /// Refuses the language, without a pass of the network.
        Refuse,
        /// Numbers that are not finite.
        Fail,
        /// Says nothing about any job, which no recogniser should.
        Forget,
        Panic,
        /// Waits until every job is cancelled, or ten seconds.
        UntilCancelled,
    }

    /// Does as it is told, one order for all that run; waits for orders. As Whisper does, it lets others
    /// join where there are places, lets go of those that are cancelled before it does anything, and
    /// rests when no job runs and none waits.
    pub(crate) struct FakeRecognizer {
        orders: Receiver<Order>,
        batches: Sender<usize>,
    }

    pub(crate) struct Handle {
        pub(crate) orders: Sender<Order>,
        /// How many joined, each time that any did.
        pub(crate) batches: Receiver<usize>,
    }

    impl FakeRecognizer {
        pub(crate) fn new() -> (Self, Handle) {
            let (orders, orders_in) = channel();
            let (batches_out, batches) = channel();
            let fake = Self {
                orders: orders_in,
                batches: batches_out,
            };
            (fake, Handle { orders, batches })
        }

        fn let_in(&self, room: Room, running: &mut Running, source: &mut dyn Source) {
            let joined = source.join(room.utterances - running.len());
            if !joined.is_empty() {
                self.batches.send(joined.len()).ok();
            }
            running.extend(joined);
        }
    }

    /// Those that run, in the order in which they joined.
    type Running = VecDeque<(u64, Input)>;

    impl Recognizer for FakeRecognizer {
        fn recognize(&mut self, room: Room, source: &mut dyn Source) {
            let mut running = Running::new();
            loop {
                if running.is_empty() {
                    self.let_in(room, &mut running, source);
                }
                if running.is_empty() {
                    return;
                }
                let order = self.orders.recv_timeout(Duration::from_secs(30));
                running.retain(|(id, input)| {
                    let is_cancelled = input.cancel.is_cancelled();
                    if is_cancelled {
                        source.done(*id, Err(WhisperError::Cancelled));
                    }
                    !is_cancelled
                });
                match order.unwrap_or(Order::Fail) {
                    Order::LetIn => self.let_in(room, &mut running, source),
                    Order::SayFirst(text) => {
                        if let Some((id, _)) = running.pop_front() {
                            source.done(id, Ok(words(text)));
                        }
                    }
                    Order::Forget => return,
                    Order::Panic => panic!("ordered to"),
                    order => {
                        for (id, input) in running.drain(..) {
                            source.done(id, order.result(&input));
                        }
                    }
                }
            }
        }
    }

    impl Order {
        /// What becomes of a job, if the order is for all.
        fn result(&self, input: &Input) -> Result<Transcript, WhisperError> {
            match self {
                Self::Say(text) => Ok(words(text)),
                Self::Silence => Ok(Transcript::default()),
                Self::Refuse => Err(WhisperError::UnsupportedLanguage {
                    language: "xx".to_owned(),
                }),
                Self::UntilCancelled => {
                    for _ in 0..1_000 {
                        if input.cancel.is_cancelled() {
                            break;
                        }
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Err(WhisperError::Cancelled)
                }
                _ => Err(WhisperError::NotFinite),
            }
        }
    }

    fn words(text: &str) -> Transcript {
        Transcript {
            text: text.to_owned(),
            language: "en".to_owned(),
            segments: vec![whisper::Segment {
                seek: 0,
                start_s: 0.0,
                end_s: 1.0,
                text: text.to_owned(),
                tokens: Vec::new(),
                words: Vec::new(),
                temperature: 0.0,
                avg_log_prob: -0.1,
                compression_ratio: 1.0,
                no_speech_prob: 0.0,
            }],
            timings: whisper::Timings {
                encode: Duration::from_millis(1),
                ..whisper::Timings::default()
            },
            ..Transcript::default()
        }
    }
}
