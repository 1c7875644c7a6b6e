//! What the worker runs: Whisper, or a stand-in that tests hold in their hand.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;
use whisper::{Source, Whisper};

use crate::names::Names;

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

/// Hands the names to expect to the recogniser, each time that they have changed, until `stop` is cancelled.
pub fn expect(mut names: Names, tasks: &TaskTracker, stop: &CancellationToken) {
    let stop = stop.clone();
    tasks.spawn(async move {
        let expecting = async {
            while names.changed().await.is_ok() {
                let expected = Arc::clone(&names.borrow_and_update());
                debug!(
                    names = expected.names.len(),
                    generation = expected.generation,
                    "the recogniser expects other names"
                );
            }
        };
        stop.run_until_cancelled(expecting).await;
    });
}

impl fmt::Debug for dyn Recognizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Recognizer")
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use whisper::{Transcript, WhisperError};

    use super::*;

    /// What the fake does with its next batch.
    #[derive(Clone, Debug)]
    pub(crate) enum Order {
        Say(&'static str),
        Fail,
        /// Says nothing about any job, which no recogniser should.
        Forget,
        Panic,
        /// Waits until every job of the batch is cancelled, or ten seconds.
        UntilCancelled,
    }

    /// Does as it is told, one order for all that wait together; waits for orders.
    pub(crate) struct FakeRecognizer {
        orders: Receiver<Order>,
        batches: Sender<usize>,
    }

    pub(crate) struct Handle {
        pub(crate) orders: Sender<Order>,
        /// Sizes of the batches that began.
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
    }

    impl Recognizer for FakeRecognizer {
        fn recognize(&mut self, room: Room, source: &mut dyn Source) {
            let batch = source.join(room.utterances);
            self.batches.send(batch.len()).ok();
            let order = self.orders.recv_timeout(Duration::from_secs(30));
            for (id, input) in batch {
                let result = match &order {
                    Ok(Order::Say(text)) => Ok(Transcript {
                        text: (*text).to_owned(),
                        language: "en".to_owned(),
                        segments: vec![whisper::Segment {
                            start_s: 0.0,
                            end_s: 1.0,
                            text: (*text).to_owned(),
                            tokens: Vec::new(),
                            temperature: 0.0,
                            avg_log_prob: -0.1,
                            compression_ratio: 1.0,
                            no_speech_prob: 0.0,
                        }],
                        ..Transcript::default()
                    }),
                    Ok(Order::Forget) => return,
                    Ok(Order::Panic) => panic!("ordered to"),
                    Ok(Order::UntilCancelled) => {
                        for _ in 0..1_000 {
                            if input.cancel.is_cancelled() {
                                break;
                            }
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        Err(WhisperError::Cancelled)
                    }
                    Ok(Order::Fail) | Err(_) => Err(WhisperError::NotFinite),
                };
                source.done(id, result);
            }
        }
    }
}
