use std::sync::Arc;
use std::time::Duration;

use audio::Waveform;
use whisper::{MelExtractor, ModelInfo};

use super::*;
use crate::blocklist::Blocklist;
use crate::recognizer::fake::{FakeRecognizer, Handle, Order};

const LIMIT: Duration = Duration::from_secs(20);

fn input() -> Input {
    Input::new(Waveform::new(vec![0.1; 16_000]).unwrap())
}

fn loaded() -> Loaded {
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
        took: Duration::ZERO,
    }
}

fn started(limits: QueueLimits) -> (Queue, Worker, Handle) {
    let queue = Queue::new(limits, Metrics::for_tests());
    let (fake, handle) = FakeRecognizer::new();
    let settings = WorkerSettings {
        batch: BatchLimits {
            jobs: 4,
            window_samples: 480_000,
        },
        blocklist: Arc::new(Blocklist::known()),
    };
    let worker = Worker::start(queue.clone(), settings, || Ok((Box::new(fake), loaded()))).unwrap();
    (queue, worker, handle)
}

fn roomy() -> QueueLimits {
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

#[tokio::test]
async fn an_utterance_gets_its_words() {
    let (queue, _worker, handle) = started(roomy());
    handle.orders.send(Order::Say("hello")).unwrap();
    let transcript = queue.submit(input()).unwrap().wait(LIMIT).await.unwrap();
    assert_eq!(transcript.text, "hello");
    assert_eq!(
        (load(&queue).accepted_total, load(&queue).finished_total),
        (1, 1)
    );
}

#[tokio::test]
async fn a_full_queue_answers_at_once() {
    let (queue, _worker, handle) = started(QueueLimits { jobs: 2, ..roomy() });
    let running = busy(&queue, &handle);
    let waiting = [
        queue.submit(input()).unwrap(),
        queue.submit(input()).unwrap(),
    ];
    assert_eq!(
        queue.submit(input()).unwrap_err(),
        Fault::Overloaded { waiting: 2 }
    );
    assert_eq!(load(&queue).refused_total, 1);
    handle.orders.send(Order::Say("first")).unwrap();
    handle.orders.send(Order::Say("second")).unwrap();
    assert_eq!(running.wait(LIMIT).await.unwrap().text, "first");
    for ticket in waiting {
        assert_eq!(ticket.wait(LIMIT).await.unwrap().text, "second");
    }
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(2));
}

#[tokio::test]
async fn the_audio_that_waits_is_bounded_but_one_utterance_always_fits() {
    let audio = Duration::from_millis(1_500);
    let (queue, _worker, handle) = started(QueueLimits { jobs: 100, audio });
    let _running = busy(&queue, &handle);
    let long = Input::new(Waveform::new(vec![0.1; 64_000]).unwrap());
    let _waiting = queue.submit(long).unwrap();
    assert!(matches!(
        queue.submit(input()),
        Err(Fault::Overloaded { .. })
    ));
}

#[tokio::test]
async fn a_dropped_ticket_leaves_the_queue() {
    let (queue, _worker, handle) = started(roomy());
    let _running = busy(&queue, &handle);
    let ticket = queue.submit(input()).unwrap();
    assert_eq!(load(&queue).queued, 1);
    drop(ticket);
    assert_eq!((load(&queue).queued, load(&queue).cancelled_total), (0, 1));
}

#[tokio::test]
async fn a_dropped_ticket_stops_the_running_job_and_frees_the_device() {
    let (queue, _worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    let running = busy(&queue, &handle);
    drop(running);
    handle.orders.send(Order::Say("next")).unwrap();
    let next = queue.submit(input()).unwrap().wait(LIMIT).await.unwrap();
    assert_eq!(next.text, "next");
}

#[tokio::test]
async fn a_deadline_is_told_and_the_job_is_cancelled() {
    let (queue, _worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    let ticket = busy(&queue, &handle);
    let limit = Duration::from_millis(30);
    assert_eq!(ticket.wait(limit).await, Err(Fault::Deadline { limit }));
    assert_eq!(load(&queue).cancelled_total, 1);
}

#[tokio::test]
async fn a_panic_or_a_failure_costs_its_own_batch_only() {
    let (queue, _worker, handle) = started(roomy());
    for (order, expected) in [
        (Order::Panic, Err(Fault::Internal)),
        (Order::Fail, Err(Fault::Internal)),
        (Order::Say("still here"), Ok("still here".to_owned())),
    ] {
        handle.orders.send(order).unwrap();
        let answer = queue.submit(input()).unwrap().wait(LIMIT).await;
        assert_eq!(answer.map(|transcript| transcript.text), expected);
    }
}

#[tokio::test]
async fn an_invented_phrase_becomes_silence() {
    let (queue, _worker, handle) = started(roomy());
    handle
        .orders
        .send(Order::Say("Thanks for watching!"))
        .unwrap();
    let transcript = queue.submit(input()).unwrap().wait(LIMIT).await.unwrap();
    assert_eq!(transcript.text, "");
}

#[tokio::test]
async fn a_closed_queue_finishes_what_waits_and_takes_no_more() {
    let (queue, worker, handle) = started(roomy());
    let running = busy(&queue, &handle);
    let waiting = queue.submit(input()).unwrap();
    queue.close(Fault::Draining);
    assert_eq!(queue.submit(input()).unwrap_err(), Fault::Draining);
    handle.orders.send(Order::Say("one")).unwrap();
    handle.orders.send(Order::Say("two")).unwrap();
    assert_eq!(running.wait(LIMIT).await.unwrap().text, "one");
    assert_eq!(waiting.wait(LIMIT).await.unwrap().text, "two");
    worker.join();
}

#[tokio::test]
async fn what_waits_for_a_model_that_cannot_be_loaded_is_told() {
    let queue = Queue::new(roomy(), Metrics::for_tests());
    let ticket = queue.submit(input()).unwrap();
    let settings = WorkerSettings {
        batch: BatchLimits {
            jobs: 1,
            window_samples: 1,
        },
        blocklist: Arc::new(Blocklist::empty()),
    };
    let worker = Worker::start(queue.clone(), settings, || Err("no such file".to_owned())).unwrap();
    assert_eq!(ticket.wait(LIMIT).await, Err(Fault::NotReady));
    assert_eq!(queue.submit(input()).unwrap_err(), Fault::NotReady);
    assert!(
        matches!(&*worker.state().borrow(), ModelState::Failed(why) if &**why == "no such file")
    );
}
