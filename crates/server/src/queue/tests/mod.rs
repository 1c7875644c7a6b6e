mod jobs;
mod speculations;
mod utterances;

use std::sync::Arc;
use std::time::Duration;

use audio::Waveform;
use whisper::{MelExtractor, ModelInfo};

use super::*;
use crate::blocklist::Blocklist;
use crate::recognizer::Recognizer;
use crate::recognizer::fake::{FakeRecognizer, Handle, Order};

const LIMIT: Duration = Duration::from_secs(20);

fn input() -> Input {
    of_length(1)
}

fn of_length(seconds: usize) -> Input {
    Input::new(Waveform::new(vec![0.1; seconds * 16_000]).unwrap())
}

pub(crate) fn loaded() -> Loaded {
    Loaded {
        info: ModelInfo {
            multilingual: false,
            languages: vec!["en".to_owned()],
            n_mels: 80,
            parameters: 1,
            sha256: String::new(),
            weight_bytes: 1,
            device: "test".to_owned(),
            precision: "f32",
        },
        mel: MelExtractor::new(80),
        vocabulary: None,
        took: Duration::ZERO,
        places: None,
    }
}

pub(crate) fn started(limits: QueueLimits) -> (Queue, Worker, Handle) {
    let (fake, handle) = FakeRecognizer::new();
    let (queue, worker) = started_with(limits, fake);
    (queue, worker, handle)
}

fn started_with(limits: QueueLimits, recognizer: impl Recognizer + 'static) -> (Queue, Worker) {
    let queue = Queue::new(limits, Metrics::for_tests());
    let settings = WorkerSettings {
        batch: BatchLimits {
            jobs: 4,
            window_samples: 480_000,
        },
        beams: 1,
        blocklist: Arc::new(Blocklist::known()),
    };
    let load = || Ok((Box::new(recognizer) as Box<dyn Recognizer>, loaded()));
    let worker = Worker::start(queue.clone(), settings, load).unwrap();
    (queue, worker)
}

pub(crate) fn roomy() -> QueueLimits {
    QueueLimits {
        jobs: 100,
        audio: Duration::from_secs(1_000),
    }
}

/// Occupies the device; what is submitted next has to wait.
fn busy(queue: &Queue, handle: &Handle) -> Ticket {
    let ticket = queue.submit(input()).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    ticket
}

fn load(queue: &Queue) -> LoadReport {
    let mut report = LoadReport::default();
    queue.report(&mut report);
    report
}

fn counts(queue: &Queue) -> [u64; 5] {
    let load = load(queue);
    [
        load.accepted_total,
        load.queued as u64,
        load.running as u64,
        load.finished_total,
        load.cancelled_total,
    ]
}

/// Timers round up to milliseconds.
fn is_about(elapsed: Duration, expected: Duration) -> bool {
    (expected..expected + Duration::from_millis(10)).contains(&elapsed)
}
