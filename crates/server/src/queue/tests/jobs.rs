//! The state alone, on a clock of the test's own.

use proptest::prelude::*;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use whisper::{Cancel, Transcript};

use super::super::effect::Effect;
use super::super::job::Answer;
use super::*;

const LIMITS: BatchLimits = BatchLimits {
    jobs: 3,
    window_samples: 32_000,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(clippy::unnecessary_wraps, reason = "what may fail elsewhere")]
fn words() -> Outcome {
    Ok(Transcript::default())
}

/// What a client gets of [`words`].
#[expect(clippy::unnecessary_wraps, reason = "what may fail elsewhere")]
fn answer(waited: u64, took: u64) -> Answer {
    Ok(Answered {
        transcript: Transcript::default(),
        waited: seconds(waited),
        took: seconds(took),
        early: seconds(0),
    })
}

/// The state, and what came of its changes.
struct Desk {
    jobs: Jobs,
    now: Duration,
    /// What is not an answer.
    counted: Vec<Effect>,
}

impl Desk {
    fn new(limits: QueueLimits) -> Self {
        Self {
            jobs: Jobs::new(limits),
            now: Duration::ZERO,
            counted: Vec::new(),
        }
    }

    /// Answers are sent, the rest is kept.
    fn take(&mut self, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::Answer(reply, answer) => drop(reply.send(answer)),
                counted => self.counted.push(counted),
            }
        }
    }

    fn submit(&mut self, input: Input) -> Result<(u64, Receiver<Answer>), Fault> {
        let (reply, answer) = oneshot::channel();
        let (id, effects) = self.jobs.submit(input, reply, self.now);
        self.take(effects);
        id.map(|id| (id, answer))
    }

    fn speculate(&mut self, input: Input) -> Option<u64> {
        let (id, effects) = self.jobs.speculate(input, self.now)?;
        self.take(effects);
        Some(id)
    }

    fn claim(&mut self, id: u64) -> Option<Receiver<Answer>> {
        let (reply, answer) = oneshot::channel();
        let effects = self.jobs.claim(id, reply, self.now)?;
        self.take(effects);
        Some(answer)
    }

    fn discard(&mut self, id: u64) {
        self.discard_told(id, false);
    }

    fn discard_told(&mut self, id: u64, told: bool) {
        let effects = self.jobs.discard(id, told, self.now);
        self.take(effects);
    }

    fn join(&mut self, room: usize) -> Vec<u64> {
        let (joined, effects) = self.jobs.join(room, LIMITS, self.now);
        self.take(effects);
        joined.into_iter().map(|(id, _)| id).collect()
    }

    fn done(&mut self, id: u64, outcome: Outcome) {
        let effects = self.jobs.done(id, outcome, self.now);
        self.take(effects);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn busy(&self) -> Duration {
        self.jobs.busy(self.now)
    }

    fn report(&self) -> LoadReport {
        let mut report = LoadReport::default();
        self.jobs.report(&mut report, self.now);
        report
    }

    /// What was counted since, in a short form.
    fn counted(&mut self) -> Vec<String> {
        let counted = std::mem::take(&mut self.counted);
        counted.iter().map(|effect| format!("{effect:?}")).collect()
    }
}

#[test]
fn busy_is_the_time_in_which_the_device_has_an_utterance() {
    let mut desk = Desk::new(roomy());
    desk.pass(seconds(100));
    let (first, _answer) = desk.submit(input()).unwrap();
    desk.pass(seconds(7));
    // It waits.
    assert_eq!(desk.busy(), seconds(0));
    assert_eq!(desk.join(3), [first]);
    desk.pass(seconds(3));
    let (second, _answer) = desk.submit(input()).unwrap();
    assert_eq!(desk.join(2), [second]);
    desk.pass(seconds(4));
    // Both at once count once.
    assert_eq!(desk.busy(), seconds(7));
    desk.done(first, words());
    desk.pass(seconds(1));
    // Given up, and the device has not let go of it.
    assert!(desk.jobs.release(second, Release::Gone, desk.now));
    desk.pass(seconds(1));
    assert_eq!(desk.busy(), seconds(9));
    desk.done(second, Err(Fault::Cancelled));
    desk.pass(seconds(50));
    assert_eq!(desk.busy(), seconds(9));
    assert!((desk.report().busy_s_total - 9.0).abs() < 1e-9);
}

#[test]
fn words_that_were_told_were_of_use_though_nobody_claims_them() {
    for is_done in [true, false] {
        let mut desk = Desk::new(roomy());
        let told = desk.speculate(input()).unwrap();
        assert_eq!(desk.join(3), [told]);
        desk.pass(seconds(30));
        if is_done {
            desk.done(told, words());
        }
        desk.discard_told(told, true);
        if !is_done {
            desk.done(told, Err(Fault::Cancelled));
        }
        let useful =
            |effect: &Effect| matches!(effect, Effect::Useful(took) if *took == seconds(30));
        assert!(desk.counted.iter().any(useful), "{:?}", desk.counted);
        // It was paid for by nothing.
        assert!(desk.speculate(input()).is_some(), "{is_done}");
    }
}

#[test]
fn wasted_time_is_not_busy_and_time_that_was_of_use_is_from_its_beginning() {
    let mut desk = Desk::new(roomy());
    let wasted = desk.speculate(input()).unwrap();
    assert_eq!(desk.join(3), [wasted]);
    desk.pass(seconds(1));
    desk.discard(wasted);
    desk.pass(seconds(1));
    desk.done(wasted, Err(Fault::Cancelled));
    assert_eq!(desk.busy(), seconds(0));
    // Adopted while it runs: what it took until then, and the rest as it comes.
    let running = desk.speculate(input()).unwrap();
    assert_eq!(desk.join(3), [running]);
    desk.pass(seconds(3));
    assert_eq!(desk.busy(), seconds(0));
    let _answer = desk.claim(running).unwrap();
    assert_eq!(desk.busy(), seconds(3));
    desk.pass(seconds(2));
    assert_eq!(desk.busy(), seconds(5));
    desk.done(running, words());
    // Adopted when it is done.
    let early = desk.speculate(input()).unwrap();
    assert_eq!(desk.join(3), [early]);
    desk.pass(seconds(4));
    desk.done(early, words());
    desk.pass(seconds(10));
    assert_eq!(desk.busy(), seconds(5));
    let mut answer = desk.claim(early).unwrap();
    assert_eq!(desk.busy(), seconds(9));
    let answered = answer.try_recv().unwrap().unwrap();
    assert_eq!((answered.took, answered.early), (seconds(0), seconds(10)));
}

#[test]
fn words_are_counted_by_how_long_their_client_waited_and_faults_are_not() {
    let mut desk = Desk::new(roomy());
    for (waits, outcome) in [
        (1, words()),
        (2, words()),
        (7, words()),
        (7, Err(Fault::Internal)),
        (3_600, words()),
    ] {
        let (id, _answer) = desk.submit(input()).unwrap();
        desk.pass(seconds(1));
        desk.join(3);
        desk.pass(seconds(waits - 1));
        desk.done(id, outcome);
    }
    // It was there before its client asked for it.
    let early = desk.speculate(input()).unwrap();
    desk.join(3);
    desk.pass(seconds(9));
    desk.done(early, words());
    let _answer = desk.claim(early).unwrap();
    let report = desk.report();
    let within = |s: u64| report.answered_in(seconds(s));
    assert_eq!(within(1), Some(2.0));
    assert_eq!(within(2), Some(3.0));
    assert_eq!(within(6), Some(3.0));
    assert_eq!(within(8), Some(4.0));
    assert_eq!(within(600), Some(4.0));
    assert_eq!(report.finished_total, 6);
}

#[test]
fn an_answer_says_how_long_its_client_waited_for_what() {
    let mut desk = Desk::new(roomy());
    let (id, mut of_submitted) = desk.submit(input()).unwrap();
    desk.pass(seconds(2));
    desk.join(3);
    desk.pass(seconds(3));
    desk.done(id, words());
    assert_eq!(of_submitted.try_recv(), Ok(answer(2, 3)));
    // Begun before it was claimed, and claimed before it was begun.
    let id = desk.speculate(input()).unwrap();
    desk.join(3);
    desk.pass(seconds(5));
    let mut of_adopted = desk.claim(id).unwrap();
    desk.pass(seconds(1));
    desk.done(id, words());
    assert_eq!(of_adopted.try_recv(), Ok(answer(0, 1)));
    let id = desk.speculate(input()).unwrap();
    desk.pass(seconds(5));
    let mut of_waiting = desk.claim(id).unwrap();
    desk.pass(seconds(4));
    desk.join(3);
    desk.pass(seconds(1));
    desk.done(id, words());
    assert_eq!(of_waiting.try_recv(), Ok(answer(4, 1)));
}

#[test]
fn each_change_counts_what_it_leads_to_once() {
    let mut desk = Desk::new(roomy());
    let id = desk.speculate(input()).unwrap();
    desk.join(3);
    assert_eq!(desk.counted(), ["Speculated"]);
    desk.pass(seconds(2));
    desk.done(id, words());
    assert_eq!(desk.counted(), [""; 0]);
    desk.pass(seconds(1));
    desk.claim(id).unwrap();
    let transcribed = "Transcribed { audio: 1s, took: 2s }";
    let adopted = [
        "Adopted",
        "Batch(1)",
        "Waited(0ns)",
        "Useful(2s)",
        transcribed,
    ];
    assert_eq!(desk.counted(), adopted);
    let id = desk.speculate(input()).unwrap();
    desk.join(3);
    desk.pass(seconds(1));
    // It is displaced, and waits until the device has let go of it; the next job joins beside it.
    let (next, _answer) = desk.submit(input()).unwrap();
    desk.pass(seconds(1));
    assert_eq!(desk.join(2), [next]);
    desk.done(id, Err(Fault::Cancelled));
    desk.discard(id);
    let displaced = [
        "Speculated",
        "Waited(1s)",
        "Batch(2)",
        "Wasted(2s)",
        "Discarded",
    ];
    assert_eq!(desk.counted(), displaced);
    desk.pass(seconds(2));
    desk.done(next, words());
    assert_eq!(desk.counted(), [transcribed]);
}

#[test]
fn too_much_that_is_wasted_ends_speculation_until_more_is_useful() {
    let mut desk = Desk::new(roomy());
    let spent = desk.speculate(input()).unwrap();
    desk.join(3);
    desk.pass(seconds(60));
    desk.done(spent, words());
    assert_eq!(desk.speculate(input()), None);
    desk.claim(spent).unwrap();
    assert!(desk.speculate(input()).is_some());
}

#[test]
fn a_speculation_that_has_to_wait_is_adopted_within_the_limits() {
    let mut desk = Desk::new(QueueLimits { jobs: 0, ..roomy() });
    let waiting = desk.speculate(input()).unwrap();
    assert!(desk.claim(waiting).is_none());
    assert_eq!(desk.report().accepted_total, 0);
}

/// What happens to the queue. Numbers choose among the jobs that there are.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Submit { seconds: usize },
    Speculate { seconds: usize },
    Claim(usize),
    Discard(usize),
    Release(usize, Release),
    Join { room: usize },
    Done { which: usize, is_ok: bool },
    Lost,
    Close,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{Claim, Close, Discard, Done, Join, Lost, Speculate, Submit};
    let release = prop_oneof![Just(Release::Gone), Just(Release::Late)];
    prop_oneof![
        4 => (1_usize..4).prop_map(|seconds| Submit { seconds }),
        6 => (1_usize..4).prop_map(|seconds| Speculate { seconds }),
        4 => any::<usize>().prop_map(Claim),
        2 => any::<usize>().prop_map(Discard),
        2 => (any::<usize>(), release).prop_map(|(which, release)| Happening::Release(which, release)),
        8 => (0_usize..4).prop_map(|room| Join { room }),
        8 => (any::<usize>(), prop::bool::weighted(0.7))
            .prop_map(|(which, is_ok)| Done { which, is_ok }),
        1 => Just(Lost),
        1 => prop::bool::weighted(0.05).prop_map(|is_end| if is_end { Close } else { Lost }),
    ]
}

/// A job, as its client and its device know it.
struct Known {
    id: u64,
    cancel: Cancel,
    /// The client's handle without a claim.
    speculates: bool,
    answer: Option<Receiver<Answer>>,
    /// It was claimed, and the claim was given up.
    released: bool,
    /// When the device began and let go of it.
    ran: Option<(Duration, Option<Duration>)>,
}

impl Known {
    fn new(id: u64, cancel: Cancel, answer: Option<Receiver<Answer>>) -> Self {
        Self {
            id,
            cancel,
            speculates: answer.is_none(),
            answer,
            released: false,
            ran: None,
        }
    }

    fn is_claimed(&self) -> bool {
        self.answer.is_some()
    }

    fn is_running(&self) -> bool {
        matches!(self.ran, Some((_, None)))
    }
}

/// Some input, and its flag.
fn cancellable(seconds: usize) -> (Input, Cancel) {
    let input = of_length(seconds);
    let cancel = input.cancel.clone();
    (input, cancel)
}

/// One of those that are of this kind.
fn chosen(known: &mut [Known], which: usize, is: impl Fn(&Known) -> bool) -> Option<&mut Known> {
    let mut of_kind: Vec<&mut Known> = known.iter_mut().filter(|one| is(one)).collect();
    let number = of_kind.len();
    (number > 0).then(|| of_kind.swap_remove(which % number))
}

/// Length of all the time that is in any of these intervals.
fn together(mut intervals: Vec<(Duration, Duration)>) -> Duration {
    intervals.sort_unstable();
    let (mut sum, mut until) = (Duration::ZERO, Duration::ZERO);
    for (from, to) in intervals {
        sum += to.saturating_sub(from.max(until));
        until = until.max(to);
    }
    sum
}

/// One change of the queue, seen from outside.
fn happens(
    desk: &mut Desk,
    known: &mut Vec<Known>,
    happening: Happening,
) -> Result<(), TestCaseError> {
    let now = desk.now;
    match happening {
        Happening::Submit { seconds } => {
            let (input, cancel) = cancellable(seconds);
            if let Ok((id, answer)) = desk.submit(input) {
                known.push(Known::new(id, cancel, Some(answer)));
            }
        }
        Happening::Speculate { seconds } => {
            let (input, cancel) = cancellable(seconds);
            let entered = desk.speculate(input);
            known.extend(entered.map(|id| Known::new(id, cancel, None)));
        }
        Happening::Claim(which) => {
            if let Some(one) = chosen(known, which, |one| one.speculates) {
                let is_displaced = one.cancel.is_cancelled();
                one.answer = desk.claim(one.id);
                one.speculates = false;
                // Displaced if and only if no words will come.
                prop_assert_eq!(one.is_claimed(), !is_displaced);
                if !one.is_claimed() {
                    desk.discard(one.id);
                }
            }
        }
        Happening::Discard(which) => {
            if let Some(one) = chosen(known, which, |one| one.speculates) {
                one.speculates = false;
                desk.discard(one.id);
            }
        }
        Happening::Release(which, release) => {
            if let Some(one) = chosen(known, which, |one| one.is_claimed() && !one.released) {
                let is_answered = !one.answer.as_ref().unwrap().is_empty();
                let is_released = desk.jobs.release(one.id, release, now);
                // The answer was sent, or there will be none.
                prop_assert_eq!(is_released, !is_answered);
                one.released = is_released;
            }
        }
        Happening::Join { room } => {
            let joined = desk.join(room);
            prop_assert!(joined.len() <= room.max(1));
            for id in joined {
                let one = known.iter().position(|one| one.id == id).unwrap();
                if !known[one].is_claimed() {
                    // Nothing is claimed that waits, and nothing runs.
                    prop_assert_eq!(desk.report().queued, 0);
                    prop_assert!(!known.iter().any(Known::is_running));
                }
                prop_assert_eq!(known[one].ran, None);
                known[one].ran = Some((now, None));
            }
        }
        Happening::Done { which, is_ok } => {
            if let Some(one) = chosen(known, which, Known::is_running) {
                one.ran = one.ran.map(|(from, _)| (from, Some(now)));
                let failed = Err(Fault::Internal);
                desk.done(one.id, if is_ok { words() } else { failed });
            }
        }
        Happening::Lost => {
            let effects = desk.jobs.lost(&Fault::Internal, now);
            desk.take(effects);
            for one in known.iter_mut().filter(|one| one.is_running()) {
                one.ran = one.ran.map(|(from, _)| (from, Some(now)));
            }
        }
        Happening::Close => {
            let effects = desk.jobs.close(Fault::Draining);
            desk.take(effects);
        }
    }
    Ok(())
}

proptest! {
    /// Accounting is exact, the busy time is, every claim is answered once, and a speculation is displaced
    /// if and only if no words will come.
    #[test]
    fn whatever_happens_every_claim_is_answered_once_and_every_count_is_exact(
        happenings in proptest::collection::vec((happening(), 0_u64..4), 0..80),
    ) {
        let limits = QueueLimits { jobs: 3, audio: seconds(5) };
        let mut desk = Desk::new(limits);
        let mut known: Vec<Known> = Vec::new();
        for (happening, milliseconds) in happenings {
            desk.pass(Duration::from_millis(milliseconds));
            happens(&mut desk, &mut known, happening)?;
            let load = desk.report();
            let accounted = load.queued as u64 + load.running as u64 + load.finished_total + load.cancelled_total;
            prop_assert_eq!(load.accepted_total, accounted);
            let claimed = known.iter().filter(|one| one.is_claimed());
            prop_assert_eq!(load.accepted_total, claimed.clone().count() as u64);
            let ran = claimed.filter_map(|one| one.ran);
            let ran = ran.map(|(from, to)| (from, to.unwrap_or(desk.now))).collect();
            prop_assert_eq!(desk.busy(), together(ran));
            // The device has one that no client waits for alone, or is about to let go of it.
            for one in known.iter().filter(|one| one.is_running() && one.speculates) {
                let others = known.iter().filter(|other| other.is_running()).count();
                prop_assert!(one.cancel.is_cancelled() || (others == 1 && load.queued == 0));
            }
        }
        let effects = desk.jobs.abandon(&Fault::Internal, desk.now);
        desk.take(effects);
        for one in &mut known {
            prop_assert!(!one.speculates || one.cancel.is_cancelled());
            let Some(answer) = &mut one.answer else { continue };
            match answer.try_recv() {
                Ok(_) => prop_assert!(!one.released),
                Err(error) => {
                    prop_assert!(one.released);
                    prop_assert_eq!(error, TryRecvError::Closed);
                }
            }
        }
        let load = desk.report();
        prop_assert_eq!(load.accepted_total, load.finished_total + load.cancelled_total);
    }
}
