//! Speculations, over the worker's thread.

use super::*;

/// A speculation that the device has begun.
fn speculating(queue: &Queue, handle: &Handle) -> Speculation {
    let speculation = queue.speculate(input()).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    speculation
}

/// Waits until the device has let go of its speculation.
fn let_go(queue: &Queue) {
    while queue.on_device() > 0 {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_speculation_is_no_utterance_until_it_is_adopted() {
    let (queue, _worker, handle) = started(roomy());
    let speculation = speculating(&queue, &handle);
    assert_eq!(counts(&queue), [0; 5]);
    handle.orders.send(Order::Say("ahead")).unwrap();
    let_go(&queue);
    assert_eq!(counts(&queue), [0; 5]);
    let ticket = speculation.adopt().unwrap();
    assert_eq!(counts(&queue), [1, 0, 0, 1, 0]);
    assert_eq!(ticket.wait(LIMIT).await.unwrap().transcript.text, "ahead");
    assert_eq!(counts(&queue), [1, 0, 0, 1, 0]);
}

#[tokio::test]
async fn a_speculation_that_runs_is_adopted_with_what_it_will_say() {
    let (queue, worker, handle) = started(roomy());
    let ticket = speculating(&queue, &handle).adopt().unwrap();
    assert_eq!(counts(&queue), [1, 0, 1, 0, 0]);
    // It is a client's utterance now, so another one does not stop it.
    let next = queue.submit(input()).unwrap();
    handle.orders.send(Order::Say("ahead")).unwrap();
    handle.orders.send(Order::Say("next")).unwrap();
    assert_eq!(ticket.wait(LIMIT).await.unwrap().transcript.text, "ahead");
    assert_eq!(next.wait(LIMIT).await.unwrap().transcript.text, "next");
    queue.close(Fault::Draining);
    worker.join();
    assert_eq!(counts(&queue), [2, 0, 0, 2, 0]);
    assert!(load(&queue).busy_s_total > 0.0);
}

#[tokio::test]
async fn an_utterance_joins_a_speculation_that_was_adopted() {
    let (queue, _worker, handle) = started(roomy());
    let adopted = speculating(&queue, &handle).adopt().unwrap();
    let next = queue.submit(input()).unwrap();
    handle.orders.send(Order::LetIn).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    assert_eq!(counts(&queue), [2, 0, 2, 0, 0]);
    handle.orders.send(Order::SayFirst("ahead")).unwrap();
    handle.orders.send(Order::Say("next")).unwrap();
    assert_eq!(adopted.wait(LIMIT).await.unwrap().transcript.text, "ahead");
    assert_eq!(next.wait(LIMIT).await.unwrap().transcript.text, "next");
}

#[tokio::test]
async fn an_utterance_takes_the_place_of_a_speculation_while_it_runs() {
    let (queue, _worker, handle) = started(roomy());
    let speculation = speculating(&queue, &handle);
    let ticket = queue.submit(input()).unwrap();
    handle.orders.send(Order::LetIn).unwrap();
    assert_eq!(handle.batches.recv_timeout(LIMIT), Ok(1));
    handle.orders.send(Order::Say("at once")).unwrap();
    assert_eq!(ticket.wait(LIMIT).await.unwrap().transcript.text, "at once");
    assert!(speculation.is_displaced());
    assert_eq!(counts(&queue), [1, 0, 0, 1, 0]);
}

#[tokio::test]
async fn an_adopted_speculation_that_fails_is_told() {
    for order in [Order::Fail, Order::Panic, Order::Forget] {
        let (queue, _worker, handle) = started(roomy());
        let ticket = speculating(&queue, &handle).adopt().unwrap();
        handle.orders.send(order).unwrap();
        assert_eq!(ticket.wait(LIMIT).await, Err(Fault::Internal));
        assert_eq!(counts(&queue), [1, 0, 0, 1, 0]);
    }
}

#[tokio::test]
async fn an_adopted_speculation_is_cancelled_with_its_ticket() {
    let (queue, worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    drop(speculating(&queue, &handle).adopt().unwrap());
    queue.close(Fault::Draining);
    worker.join();
    assert_eq!(counts(&queue), [1, 0, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_an_adopted_speculation_counts_from_its_adoption() {
    let (queue, _worker, handle) = started(roomy());
    let speculation = speculating(&queue, &handle);
    tokio::time::sleep(LIMIT / 2).await;
    let ticket = speculation.adopt().unwrap();
    let began = Instant::now();
    let answer = ticket.wait(LIMIT).await;
    assert_eq!(answer, Err(Fault::Deadline { limit: LIMIT }));
    assert!(is_about(began.elapsed(), LIMIT));
    handle.orders.send(Order::Say("too late")).unwrap();
}

#[tokio::test]
async fn whoever_is_submitted_takes_the_device_from_a_speculation() {
    let (queue, _worker, handle) = started(roomy());
    let speculation = speculating(&queue, &handle);
    assert!(!speculation.is_displaced());
    let ticket = queue.submit(input()).unwrap();
    assert!(speculation.is_displaced());
    // The device has not let go of it yet, and it will give no words.
    assert!(speculation.adopt().is_none());
    assert_eq!(counts(&queue), [1, 1, 0, 0, 0]);
    handle.orders.send(Order::UntilCancelled).unwrap();
    handle.orders.send(Order::Say("at once")).unwrap();
    assert_eq!(ticket.wait(LIMIT).await.unwrap().transcript.text, "at once");
    assert_eq!(counts(&queue), [1, 0, 0, 1, 0]);
}

#[tokio::test]
async fn a_speculation_that_the_device_has_not_begun_gives_its_place_up() {
    // No worker: nothing begins.
    let queue = Queue::new(roomy(), Metrics::for_tests());
    let speculation = queue.speculate(input()).unwrap();
    let ticket = queue.submit(input()).unwrap();
    // Seen, so that the pause can be tried again.
    assert!(speculation.is_displaced());
    assert!(speculation.adopt().is_none());
    drop(ticket);
    let speculation = queue.speculate(input()).unwrap();
    drop(speculation);
    assert!(queue.may_speculate());
}

#[tokio::test]
async fn a_speculation_that_the_device_has_not_begun_is_adopted_as_it_waits() {
    let queue = Queue::new(roomy(), Metrics::for_tests());
    let ticket = queue.speculate(input()).unwrap().adopt().unwrap();
    assert_eq!(counts(&queue), [1, 1, 0, 0, 0]);
    drop(ticket);
    assert_eq!(counts(&queue), [1, 0, 0, 0, 1]);
}

#[tokio::test]
async fn only_an_idle_device_speculates_and_on_one_thing() {
    let (queue, _worker, handle) = started(roomy());
    let running = busy(&queue, &handle);
    assert!(queue.speculate(input()).is_none());
    let waiting = queue.submit(input()).unwrap();
    handle.orders.send(Order::Say("one")).unwrap();
    running.wait(LIMIT).await.unwrap();
    assert!(queue.speculate(input()).is_none());
    handle.orders.send(Order::Say("two")).unwrap();
    waiting.wait(LIMIT).await.unwrap();
    let _first = queue.speculate(input()).unwrap();
    assert!(!queue.may_speculate());
    assert!(queue.speculate(input()).is_none());
    handle.orders.send(Order::Say("three")).unwrap();
}

#[tokio::test]
async fn a_dropped_speculation_stops_and_frees_the_device() {
    let (queue, _worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    drop(speculating(&queue, &handle));
    let_go(&queue);
    assert!(queue.may_speculate());
    assert_eq!(counts(&queue), [0; 5]);
}

#[tokio::test]
async fn a_failed_speculation_has_no_words_to_adopt() {
    let (queue, _worker, handle) = started(roomy());
    for order in [Order::Fail, Order::Panic, Order::Forget] {
        let speculation = speculating(&queue, &handle);
        handle.orders.send(order).unwrap();
        let_go(&queue);
        assert!(speculation.is_displaced());
        assert!(speculation.adopt().is_none());
    }
    assert_eq!(counts(&queue), [0; 5]);
}

#[tokio::test]
async fn a_closed_queue_neither_speculates_nor_adopts() {
    let (queue, worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    let speculation = speculating(&queue, &handle);
    queue.close(Fault::Draining);
    // It is stopped, so the worker ends.
    worker.join();
    assert!(queue.speculate(input()).is_none());
    assert!(speculation.adopt().is_none());
}

#[tokio::test]
async fn whoever_adopted_is_told_when_the_queue_is_abandoned() {
    let (queue, worker, handle) = started(roomy());
    handle.orders.send(Order::UntilCancelled).unwrap();
    let ticket = speculating(&queue, &handle).adopt().unwrap();
    queue.abandon(&Fault::Draining);
    assert_eq!(ticket.wait(LIMIT).await, Err(Fault::Draining));
    worker.join();
    assert_eq!(counts(&queue), [1, 0, 0, 1, 0]);
}

#[tokio::test]
async fn a_stopped_speculation_says_nothing_about_the_device() {
    let (queue, _worker, handle) = started(roomy());
    for _ in 0..3 {
        let speculation = speculating(&queue, &handle);
        handle.orders.send(Order::Panic).unwrap();
        let_go(&queue);
        drop(speculation);
    }
    let stopped = speculating(&queue, &handle);
    handle.orders.send(Order::UntilCancelled).unwrap();
    drop(stopped);
    let_go(&queue);
    let last = speculating(&queue, &handle);
    assert!(queue.health().is_err());
    handle.orders.send(Order::Say("again")).unwrap();
    last.adopt().unwrap().wait(LIMIT).await.unwrap();
}
