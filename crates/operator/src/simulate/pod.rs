//! One replica: its own queue, its batches, its deadline.

use std::collections::VecDeque;
use std::time::Duration;

use super::fleet::TICK;
use super::{Ailment, Scenario};
use crate::scale::Replica;

/// An utterance on its way through a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Utterance {
    /// When its speech ends.
    pub(super) spoken: Duration,
    /// How long it was.
    pub(super) length: Duration,
}

/// What became of utterances within one tick.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Time from the last word to the start of work, and to the words.
    pub(super) answered: Vec<Duration>,
    /// How long each waited for its turn.
    pub(super) waits: Vec<Duration>,
    pub(super) expired: u32,
    pub(super) refused: u32,
}

#[derive(Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) created: Duration,
    /// Whether it was there, and ready, when the run began.
    pub(super) is_first: bool,
    /// When it got a GPU; none while pending.
    pub(super) placed: Option<Duration>,
    pub(super) ailment: Option<Ailment>,
    pub(super) is_leaving: bool,
    streams: Vec<Utterance>,
    pub(super) queue: VecDeque<Utterance>,
    running: Vec<Utterance>,
    /// Until when it works on its batch.
    busy_until: Option<Duration>,
    arrived: u64,
    finished: u64,
    expired: u64,
    refused: u64,
    busy_s: f64,
}

impl Pod {
    pub(super) fn new(name: String, created: Duration, ailment: Option<Ailment>) -> Self {
        Self {
            name,
            created,
            is_first: false,
            placed: None,
            ailment,
            is_leaving: false,
            streams: Vec::new(),
            queue: VecDeque::new(),
            running: Vec::new(),
            busy_until: None,
            arrived: 0,
            finished: 0,
            expired: 0,
            refused: 0,
            busy_s: 0.0,
        }
    }

    pub(super) fn is_at_work(&self) -> bool {
        !(self.streams.is_empty() && self.queue.is_empty() && self.running.is_empty())
    }

    /// Utterances that it has: spoken into, waiting and running.
    pub(super) fn outstanding(&self) -> usize {
        self.streams.len() + self.queue.len() + self.running.len()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy_until.is_some()
    }

    /// A client connects and begins to speak.
    pub(super) fn connect(&mut self, utterance: Utterance) {
        self.streams.push(utterance);
    }

    /// One tick: speech ends, deadlines go by, a batch ends, the next one begins with what `shared` has too.
    pub(super) fn work(
        &mut self,
        scenario: &Scenario,
        shared: &mut VecDeque<Utterance>,
        now: Duration,
        ends: &mut Ends,
    ) {
        self.hear(scenario, now, ends);
        self.expire(scenario, now, ends);
        self.end(now, ends);
        if self.is_busy() {
            self.busy_s += TICK.as_secs_f64();
        } else {
            self.begin(scenario, shared, now, ends);
        }
    }

    fn hear(&mut self, scenario: &Scenario, now: Duration, ends: &mut Ends) {
        let (spoken, still): (Vec<Utterance>, Vec<Utterance>) =
            self.streams.iter().partition(|it| it.spoken <= now);
        self.streams = still;
        for utterance in spoken {
            self.arrived += 1;
            if self.queue.len() < scenario.max_queue {
                self.queue.push_back(utterance);
            } else {
                ends.refused += 1;
                self.refused += 1;
            }
        }
    }

    fn expire(&mut self, scenario: &Scenario, now: Duration, ends: &mut Ends) {
        let Some(deadline) = scenario.deadline else {
            return;
        };
        let is_late = |it: &Utterance| now.saturating_sub(it.spoken) >= deadline;
        let (queued, running) = (self.queue.len(), self.running.len());
        for late in self.queue.iter().filter(|it| is_late(it)) {
            ends.waits.push(now.saturating_sub(late.spoken));
        }
        self.queue.retain(|it| !is_late(it));
        self.running.retain(|it| !is_late(it));
        let late = queued - self.queue.len() + running - self.running.len();
        ends.expired += u32::try_from(late).unwrap_or(u32::MAX);
        self.expired += late as u64;
        // The server's total has errors in it too.
        self.finished += late as u64;
    }

    fn end(&mut self, now: Duration, ends: &mut Ends) {
        if self.busy_until.is_some_and(|until| until <= now) {
            self.busy_until = None;
            for done in self.running.drain(..) {
                self.finished += 1;
                ends.answered.push(now.saturating_sub(done.spoken));
            }
        }
    }

    fn begin(
        &mut self,
        scenario: &Scenario,
        shared: &mut VecDeque<Utterance>,
        now: Duration,
        ends: &mut Ends,
    ) {
        while self.running.len() < scenario.slots {
            let next = self.queue.pop_front();
            let next = next.or_else(|| {
                let next = (!self.is_leaving).then(|| shared.pop_front()).flatten();
                self.arrived += u64::from(next.is_some());
                next
            });
            let Some(next) = next else { break };
            ends.waits.push(now.saturating_sub(next.spoken));
            self.running.push(next);
        }
        if self.running.is_empty() {
            return;
        }
        let took = scenario.time_of(self.running.iter().map(|it| it.length));
        self.busy_until = Some(match self.ailment {
            // It never comes to an end.
            Some(Ailment::Mute { from }) if now >= from => Duration::MAX,
            Some(Ailment::Slow { from, factor }) if now >= from => now + took.mul_f64(factor),
            _ => now + took,
        });
    }

    /// What it tells.
    pub(super) fn report(&self, scenario: &Scenario, now: Duration) -> Replica {
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let oldest = self.queue.front().map(|it| now.saturating_sub(it.spoken));
        Replica {
            pod: self.name.clone(),
            queued: small(self.queue.len()),
            running: small(self.running.len()),
            arrived: self.arrived,
            refused: self.refused,
            finished: self.finished,
            busy_s: self.busy_s,
            oldest_wait_s: oldest.unwrap_or_default().as_secs_f64(),
            open: small(self.streams.len()),
            slots: small(scenario.slots),
            expired: self.expired,
            in_time: None,
        }
    }
}
