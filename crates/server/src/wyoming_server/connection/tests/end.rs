//! The server ends.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_closes_the_idle_and_spares_who_speaks() {
    let bench = usual();
    let (mut idle, idle_served) = bench.connect();
    let (mut speaking, speaking_served) = bench.connect();
    for client in [&mut idle, &mut speaking] {
        client.describe(PATIENCE).await.unwrap();
    }
    speaking.send(second()).await.unwrap();
    speaking.describe(PATIENCE).await.unwrap();
    bench.service.closing.cancel();
    assert_eq!(idle.next().await.unwrap(), None);
    // The client does not close its side, and is not waited for long.
    ended(idle_served).await;
    speaking.send(STOP).await.unwrap();
    bench.order(Order::Say("to the end"));
    assert_eq!(words(&mut speaking).await, "to the end");
    assert_eq!(speaking.next().await.unwrap(), None);
    ended(speaking_served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cut_tells_who_waits() {
    let bench = usual();
    let (mut client, _served) = bench.connect();
    speak(&mut client).await;
    bench.began();
    bench.order(Order::UntilCancelled);
    bench.service.abort.cancel();
    refused(&mut client, Code::Draining).await;
}

#[tokio::test(start_paused = true)]
async fn wherever_a_connection_waits_it_sees_the_drain() {
    let bench = usual();
    // One that was refused and keeps its socket, and goes on sending.
    let (mut refused, refused_served) = bench.pipe(PIPE_BYTES, Access::Full);
    refused.write_all(b"GET / HTTP/1.1\n").await.unwrap();
    // One that was refused in the reserve.
    let (mut late, late_served) = bench.pipe(PIPE_BYTES, Access::DescribeOnly { limit: 1 });
    late.write_all(b"[]\n").await.unwrap();
    // One that takes no answer.
    let (mut deaf, deaf_served) = bench.pipe(64, Access::Full);
    deaf.write_all(&written(vec![Event::Describe]))
        .await
        .unwrap();
    // One in the middle of an event, one that says nothing.
    let (mut slow, slow_served) = bench.pipe(PIPE_BYTES, Access::Full);
    slow.write_all(b"{\"type\": ").await.unwrap();
    let (idle, idle_served) = bench.pipe(PIPE_BYTES, Access::Full);
    sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    bench.service.closing.cancel();
    for served in [
        refused_served,
        late_served,
        deaf_served,
        slow_served,
        idle_served,
    ] {
        ended(served).await;
    }
    assert!(
        began.elapsed() <= 2 * CLOSE_PATIENCE,
        "{:?}",
        began.elapsed()
    );
    assert!(bench.service.unanswered.is_empty());
    drop((refused, late, deaf, slow, idle));
}
