//! Utterances that are submitted.

use whisper::{Source, Transcript};

use super::*;
use crate::recognizer::Room;

#[tokio::test]
async fn an_utterance_gets_its_words() {
    let (queue, _worker, handle) = started(roomy());
    handle.orders.send(Order::Say("hello")).unwrap();
    let answered = queue.submit(input()).unwrap().wait(LIMIT).await.unwrap();
    assert_eq!(answered.transcript.text, "hello");
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
    assert_eq!(running.wait(LIMIT).await.unwrap().transcript.text, "first");
    for ticket in waiting {
        assert_eq!(ticket.wait(LIMIT).await.unwrap().transcript.text, "second");
    }
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(2));
}

#[tokio::test]
async fn the_audio_that_waits_is_bounded_but_one_utterance_always_fits() {
    let audio = Duration::from_millis(1_500);
    let (queue, _worker, handle) = started(QueueLimits { jobs: 100, audio });
    let _running = busy(&queue, &handle);
    let _waiting = queue.submit(of_length(4)).unwrap();
    assert!((load(&queue).waiting_audio_s - 4.0).abs() < 1e-9);
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
    assert_eq!(next.transcript.text, "next");
}

#[tokio::test]
async fn a_cancelled_job_is_counted_once() {
    let (queue, worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    drop(busy(&queue, &handle));
    queue.close(Fault::Draining);
    worker.join();
    let load = load(&queue);
    assert_eq!(
        (load.running, load.finished_total, load.cancelled_total),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn an_answer_that_nobody_fetches_is_counted_once() {
    let (queue, worker, handle) = started(roomy());
    handle.orders.send(Order::Say("unheard")).unwrap();
    let ticket = queue.submit(input()).unwrap();
    queue.close(Fault::Draining);
    worker.join();
    drop(ticket);
    let load = load(&queue);
    assert_eq!((load.finished_total, load.cancelled_total), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_told_while_the_device_is_busy_and_the_job_leaves() {
    let (queue, _worker, handle) = started(roomy());
    let running = busy(&queue, &handle);
    let waiting = queue.submit(input()).unwrap();
    let began = Instant::now();
    assert_eq!(
        waiting.wait(LIMIT).await,
        Err(Fault::Deadline { limit: LIMIT })
    );
    assert!(is_about(began.elapsed(), LIMIT));
    let load = load(&queue);
    assert_eq!((load.queued, load.running), (0, 1));
    assert_eq!((load.finished_total, load.cancelled_total), (1, 0));
    assert_eq!(load.expired_total, 1);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_from_the_submission_and_stops_the_decoder() {
    let (queue, worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    let ticket = busy(&queue, &handle);
    tokio::time::sleep(LIMIT / 2).await;
    let began = Instant::now();
    assert_eq!(
        ticket.wait(LIMIT).await,
        Err(Fault::Deadline { limit: LIMIT })
    );
    assert!(is_about(began.elapsed(), LIMIT / 2));
    queue.close(Fault::Draining);
    worker.join();
    assert_eq!(load(&queue).running, 0);
}

#[tokio::test]
async fn long_files_leave_half_of_the_places_to_commands() {
    let (queue, _worker, handle) = started(roomy());
    let mut tickets = vec![busy(&queue, &handle)];
    for seconds in [1, 60, 60, 60, 1] {
        tickets.push(queue.submit(of_length(seconds)).unwrap());
    }
    for _ in 0..3 {
        handle.orders.send(Order::Say("done")).unwrap();
    }
    for ticket in tickets {
        ticket.wait(LIMIT).await.unwrap();
    }
    // Both commands with two files; then the third.
    let sizes: Vec<usize> = handle.batches.try_iter().collect();
    assert_eq!(sizes, [4, 1]);
}

#[tokio::test]
async fn an_utterance_joins_those_that_run_and_each_leaves_when_it_is_done() {
    let (queue, _worker, handle) = started(roomy());
    let first = busy(&queue, &handle);
    let second = queue.submit(input()).unwrap();
    assert_eq!(counts(&queue), [2, 1, 1, 0, 0]);
    handle.orders.send(Order::LetIn).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    assert_eq!(counts(&queue), [2, 0, 2, 0, 0]);
    handle.orders.send(Order::SayFirst("first")).unwrap();
    assert_eq!(first.wait(LIMIT).await.unwrap().transcript.text, "first");
    assert_eq!(counts(&queue), [2, 0, 1, 1, 0]);
    handle.orders.send(Order::Say("second")).unwrap();
    assert_eq!(second.wait(LIMIT).await.unwrap().transcript.text, "second");
    assert_eq!(counts(&queue), [2, 0, 0, 2, 0]);
}

#[tokio::test]
async fn a_file_does_not_join_two_files_that_run_and_a_command_does() {
    let (queue, _worker, handle) = started(roomy());
    let mut tickets = vec![queue.submit(of_length(60)).unwrap()];
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    // How many join, when one of so many seconds comes.
    let mut joins = |seconds: usize| {
        tickets.push(queue.submit(of_length(seconds)).unwrap());
        handle.orders.send(Order::LetIn).unwrap();
        handle.orders.send(Order::LetIn).unwrap();
        handle.batches.recv_timeout(Duration::from_millis(300)).ok()
    };
    assert_eq!(joins(60), Some(1));
    assert_eq!(joins(60), None);
    assert_eq!(joins(1), Some(1));
    handle.orders.send(Order::SayFirst("done")).unwrap();
    handle.orders.send(Order::LetIn).unwrap();
    // There is a place for the third file.
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    handle.orders.send(Order::Say("done")).unwrap();
    for ticket in tickets {
        assert_eq!(ticket.wait(LIMIT).await.unwrap().transcript.text, "done");
    }
}

#[tokio::test]
async fn a_client_that_goes_leaves_its_place_to_another() {
    let (queue, _worker, handle) = started(roomy());
    let mut tickets = vec![busy(&queue, &handle)];
    for _ in 0..4 {
        tickets.push(queue.submit(input()).unwrap());
    }
    handle.orders.send(Order::LetIn).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(3));
    drop(tickets.remove(1));
    handle.orders.send(Order::LetIn).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    assert_eq!(counts(&queue), [5, 0, 4, 0, 1]);
    handle.orders.send(Order::Say("the others")).unwrap();
    for ticket in tickets {
        assert_eq!(
            ticket.wait(LIMIT).await.unwrap().transcript.text,
            "the others"
        );
    }
}

#[tokio::test]
async fn a_panic_costs_those_that_joined_too_and_not_those_that_wait() {
    let (queue, _worker, handle) = started(roomy());
    let first = busy(&queue, &handle);
    let second = queue.submit(input()).unwrap();
    handle.orders.send(Order::LetIn).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    let waiting = queue.submit(input()).unwrap();
    handle.orders.send(Order::Panic).unwrap();
    handle.orders.send(Order::Say("spared")).unwrap();
    assert_eq!(first.wait(LIMIT).await, Err(Fault::Internal));
    assert_eq!(second.wait(LIMIT).await, Err(Fault::Internal));
    assert_eq!(waiting.wait(LIMIT).await.unwrap().transcript.text, "spared");
}

#[tokio::test]
async fn a_panic_or_a_failure_costs_its_own_batch_only() {
    let (queue, _worker, handle) = started(roomy());
    for (order, expected) in [
        (Order::Panic, Err(Fault::Internal)),
        (Order::Fail, Err(Fault::Internal)),
        (Order::Forget, Err(Fault::Internal)),
        (Order::Say("still here"), Ok("still here".to_owned())),
    ] {
        handle.orders.send(order).unwrap();
        let answer = queue.submit(input()).unwrap().wait(LIMIT).await;
        assert_eq!(answer.map(|answered| answered.transcript.text), expected);
    }
}

#[tokio::test]
async fn a_device_that_fails_again_and_again_is_unhealthy_until_it_works() {
    let (queue, worker, handle) = started(roomy());
    let answer = async |order| {
        handle.orders.send(order).unwrap();
        queue.submit(input()).unwrap().wait(LIMIT).await.is_ok()
    };
    // Once or twice, no finite number may be the audio's fault.
    assert!(!answer(Order::Fail).await);
    assert!(!answer(Order::Panic).await);
    // What did not reach the device says nothing of it.
    assert!(answer(Order::Silence).await);
    assert!(!answer(Order::Refuse).await);
    assert_eq!(queue.health(), Ok(()));
    assert!(!answer(Order::Fail).await);
    assert!(queue.health().is_err());
    assert!(answer(Order::Silence).await);
    assert!(!answer(Order::Refuse).await);
    assert!(queue.health().is_err());
    assert!(answer(Order::Say("again")).await);
    assert!(!answer(Order::Fail).await);
    assert!(answer(Order::Say("once more")).await);
    assert!(!answer(Order::Fail).await);
    assert!(!answer(Order::Fail).await);
    queue.close(Fault::Draining);
    worker.join();
    assert_eq!(queue.health(), Ok(()));
}

#[tokio::test]
async fn an_invented_phrase_becomes_silence() {
    let (queue, _worker, handle) = started(roomy());
    handle
        .orders
        .send(Order::Say("Thanks for watching!"))
        .unwrap();
    let answered = queue.submit(input()).unwrap().wait(LIMIT).await.unwrap();
    assert_eq!(answered.transcript.text, "");
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
    assert_eq!(running.wait(LIMIT).await.unwrap().transcript.text, "one");
    assert_eq!(waiting.wait(LIMIT).await.unwrap().transcript.text, "two");
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
        beams: 1,
        blocklist: Arc::new(Blocklist::empty()),
    };
    let worker = Worker::start(queue.clone(), settings, || Err("no such file".to_owned())).unwrap();
    assert_eq!(ticket.wait(LIMIT).await, Err(Fault::NotReady));
    assert_eq!(queue.submit(input()).unwrap_err(), Fault::NotReady);
    assert!(
        matches!(&*worker.state().borrow(), ModelState::Failed(why) if &**why == "no such file")
    );
}

/// Knows no language that it is asked for.
struct Foreign;

impl Recognizer for Foreign {
    fn recognize(&mut self, room: Room, source: &mut dyn Source) {
        for (id, _) in source.join(room.utterances) {
            let language = "de".to_owned();
            source.done(
                id,
                Err(whisper::WhisperError::UnsupportedLanguage { language }),
            );
        }
    }
}

#[tokio::test]
async fn a_language_that_the_model_turns_out_not_to_know_is_told_with_those_it_knows() {
    let (queue, _worker) = started_with(roomy(), Foreign);
    let answer = queue.submit(input()).unwrap().wait(LIMIT).await;
    let fault = Fault::UnsupportedLanguage {
        language: wyoming::Excerpt::of("de"),
        available: vec!["en".to_owned()],
    };
    assert_eq!(answer, Err(fault));
}

/// Says the same to everyone, at once.
struct Quick;

impl Recognizer for Quick {
    fn recognize(&mut self, room: Room, source: &mut dyn Source) {
        for (id, input) in source.join(room.utterances) {
            std::thread::yield_now();
            source.done(
                id,
                if input.cancel.is_cancelled() {
                    Err(whisper::WhisperError::Cancelled)
                } else {
                    Ok(Transcript::default())
                },
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_utterance_of_a_rush_is_answered_refused_or_cancelled_and_counted_once() {
    const CLIENTS: u64 = 400;
    let limits = QueueLimits {
        jobs: 16,
        ..roomy()
    };
    let (queue, worker) = started_with(limits, Quick);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let queue = queue.clone();
            tokio::spawn(async move {
                // Some pause before they end.
                let ahead = queue.speculate(input());
                tokio::task::yield_now().await;
                let adopted = ahead
                    .filter(|_| client % 2 == 0)
                    .and_then(Speculation::adopt);
                let Ok(ticket) = adopted.map_or_else(|| queue.submit(input()), Ok) else {
                    return 0;
                };
                match client % 3 {
                    0 => drop(ticket),
                    1 => drop(tokio::time::timeout(Duration::ZERO, ticket.wait(LIMIT)).await),
                    _ => drop(ticket.wait(LIMIT).await.unwrap()),
                }
                1
            })
        })
        .collect();
    let mut accepted = 0;
    for client in clients {
        accepted += client.await.unwrap();
    }
    queue.close(Fault::Draining);
    worker.join();
    let load = load(&queue);
    assert_eq!((load.queued, load.running), (0, 0));
    assert_eq!(load.accepted_total, accepted);
    assert_eq!(load.accepted_total + load.refused_total, CLIENTS);
    assert_eq!(
        load.finished_total + load.cancelled_total,
        load.accepted_total
    );
}

#[test]
fn waiting_ends_with_work_with_patience_or_with_the_queue() {
    let queue = Queue::new(roomy(), Metrics::for_tests());
    let patience = Duration::from_millis(20);
    let begun = Instant::now();
    assert_eq!(queue.wait_for_work(Some(patience)), Wait::Idle);
    assert!(begun.elapsed() >= patience);
    let ticket = queue.submit(input()).unwrap();
    assert_eq!(queue.wait_for_work(Some(patience)), Wait::Work);
    assert_eq!(queue.wait_for_work(None), Wait::Work);
    drop(ticket);
    queue.abandon(&Fault::Draining);
    assert_eq!(queue.wait_for_work(Some(LIMIT)), Wait::Closed);
}
