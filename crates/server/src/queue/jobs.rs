//! All jobs, and every change of theirs. Pure: the time is a parameter, since the queue was made, and
//! what a change leads to outside is returned.
//!
//! To submit is to enter and to claim; to speculate is to enter. A speculation is adopted by a claim,
//! and dropped by its release. At any time
//! accepted = queued + running + finished + cancelled.

use std::collections::BTreeMap;
use std::time::Duration;

use telemetry::load::LoadReport;
use whisper::Input;

use super::allowance::Allowance;
use super::busy::Busy;
use super::effect::{Effect, Effects};
use super::job::{Answer, Answered, Claim, Job, Outcome, Reply, Work};
use super::policy::{self, BatchLimits, Running, Waiting};
use super::totals::Totals;
use super::{QueueLimits, Verdict};
use crate::fault::Fault;

/// After this many passes in a row that the device failed on, it is taken for broken: a lost GPU
/// fails every time, and one bad pass need not mean anything.
const BROKEN_AFTER: u32 = 3;

/// The state of the queue.
#[derive(Debug)]
pub(super) struct Jobs {
    limits: QueueLimits,
    /// By number; those that entered first have the lowest.
    by_id: BTreeMap<u64, Job>,
    next_id: u64,
    closed: Option<Fault>,
    /// For work that is wasted.
    allowance: Allowance,
    failed_in_a_row: u32,
    totals: Totals,
    busy: Busy,
}

/// Why a claim is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    /// The client has gone.
    Gone,
    /// The words did not come in time, and the client is told.
    Late,
}

impl Jobs {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            by_id: BTreeMap::new(),
            next_id: 0,
            closed: None,
            allowance: Allowance::default(),
            failed_in_a_row: 0,
            totals: Totals::default(),
            busy: Busy::default(),
        }
    }

    /// Takes an utterance, or refuses it. Jobs without a claim give way to it.
    pub(super) fn submit(
        &mut self,
        input: Input,
        reply: Reply,
        now: Duration,
    ) -> (Result<u64, Fault>, Effects) {
        if let Err(fault) = self.admit(input.waveform.duration()) {
            return (Err(fault), Effects::default());
        }
        for job in self.by_id.values().filter(|job| !job.was_claimed()) {
            if !matches!(job.work, Work::Done { .. }) {
                job.cancel();
            }
        }
        self.by_id
            .retain(|_, job| !(job.is_waiting() && job.is_cancelled()));
        let id = self.enter(input, false);
        let effects = self.claim(id, reply, now);
        (Ok(id), effects.unwrap_or_default())
    }

    /// Takes what may turn out to be an utterance, unless the device has anything better to do or too
    /// much was wasted.
    pub(super) fn speculate(&mut self, input: Input, now: Duration) -> Option<(u64, Effects)> {
        let may = self.may_speculate(now);
        may.then(|| {
            let id = self.enter(input, true);
            (id, Effects::from_iter([Effect::Speculated]))
        })
    }

    pub(super) fn may_speculate(&self, now: Duration) -> bool {
        let is_free = |job: &Job| matches!(job.work, Work::Done { .. });
        self.by_id.values().all(is_free) && self.closed.is_none() && self.allowance.is_left(now)
    }

    /// A client waits for the words of a job from now on. `None` if none will come.
    pub(super) fn claim(&mut self, id: u64, reply: Reply, now: Duration) -> Option<Effects> {
        self.pass(now);
        let is_closed = self.closed.is_some();
        let is_full = self.queued().count() >= self.limits.jobs;
        let job = self.by_id.get_mut(&id)?;
        let is_over = is_closed || job.is_cancelled() || job.was_claimed();
        if is_over || (job.is_waiting() && is_full) {
            return None;
        }
        let mut effects = Effects::default();
        if job.ahead {
            effects.push(Effect::Adopted);
        }
        if !job.is_waiting() {
            // The client waited for no device.
            effects.push(Effect::Batch(1));
            effects.push(Effect::Waited(Duration::ZERO));
        }
        self.totals.accepted += 1;
        match std::mem::replace(&mut job.work, Work::Running(now)) {
            Work::Done {
                transcript,
                took,
                at,
            } => {
                let audio = job.audio;
                self.by_id.remove(&id);
                self.totals.finished += 1;
                self.totals.has_words(Duration::ZERO);
                self.busy.add(took);
                self.allowance.take_back(took, now);
                effects.push(Effect::Useful(took));
                effects.push(Effect::Transcribed { audio, took });
                let answered = Answered {
                    transcript,
                    early: now.saturating_sub(at),
                    ..Answered::default()
                };
                effects.push(Effect::Answer(reply, Ok(answered)));
            }
            work => {
                if let Work::Running(since) = work {
                    // Time that was not counted so far.
                    self.busy.add(now.saturating_sub(since));
                }
                job.work = work;
                job.claim = Claim::Held { reply, since: now };
            }
        }
        Some(effects)
    }

    /// A client gives its claim up; `false` if that was answered before.
    pub(super) fn release(&mut self, id: u64, release: Release, now: Duration) -> bool {
        self.pass(now);
        let Some(job) = self.by_id.get_mut(&id).filter(|job| job.is_held()) else {
            return false;
        };
        match release {
            Release::Gone => self.totals.cancelled += 1,
            Release::Late => {
                self.totals.finished += 1;
                self.totals.expired += 1;
            }
        }
        job.cancel();
        if job.is_waiting() {
            self.by_id.remove(&id);
        } else {
            job.claim = Claim::Released;
        }
        true
    }

    /// A job that entered without a claim will not be claimed. `told`: its words were of use all the same.
    pub(super) fn discard(&mut self, id: u64, told: bool, now: Duration) -> Effects {
        let mut effects = Effects::from_iter([Effect::Discarded]);
        if let Some(job) = self.by_id.get_mut(&id) {
            job.cancel();
            job.told = told;
            match job.work {
                Work::Done { took, .. } if told => {
                    self.allowance.take_back(took, now);
                    effects.push(Effect::Useful(took));
                }
                Work::Done { took, .. } => effects.push(Effect::Wasted(took)),
                Work::Waiting(_) | Work::Running(_) => {}
            }
            // The device has not let go of one that runs.
            if !job.is_running() {
                self.by_id.remove(&id);
            }
        }
        effects
    }

    /// Hands to the device what joins those that run, into at most `room` places.
    pub(super) fn join(
        &mut self,
        room: usize,
        mut limits: BatchLimits,
        now: Duration,
    ) -> (Vec<(u64, Input)>, Effects) {
        self.pass(now);
        let running = self.running(limits);
        limits.jobs = limits.jobs.min(running.jobs + room);
        let waiting = self.by_id.iter().filter(|(_, job)| job.is_waiting());
        let (ids, waiting): (Vec<u64>, Vec<Waiting>) =
            waiting.map(|(id, job)| (*id, job.seen())).unzip();
        let mut effects = Effects::default();
        let (mut joined, mut claimed) = (Vec::new(), 0);
        for index in policy::joining(&waiting, running, limits) {
            let Some(job) = self.by_id.get_mut(&ids[index]) else {
                continue;
            };
            if let Work::Waiting(input) = std::mem::replace(&mut job.work, Work::Running(now)) {
                joined.push((ids[index], *input));
            }
            if let Claim::Held { since, .. } = job.claim {
                claimed += 1;
                effects.push(Effect::Waited(now.saturating_sub(since)));
            }
        }
        if claimed > 0 {
            effects.push(Effect::Batch(running.jobs + joined.len()));
        }
        (joined, effects)
    }

    /// The device has let go of a job.
    pub(super) fn done(&mut self, id: u64, outcome: Outcome, now: Duration) -> Effects {
        self.pass(now);
        let mut effects = Effects::default();
        // One that was abandoned was answered then.
        let Some(mut job) = self.by_id.remove(&id) else {
            return effects;
        };
        let Work::Running(since) = job.work else {
            self.by_id.insert(id, job);
            return effects;
        };
        let took = now.saturating_sub(since);
        if !job.was_claimed() {
            if job.told {
                self.allowance.earn(took, now);
                effects.push(Effect::Useful(took));
                return effects;
            }
            // It is wasted until it is claimed.
            self.allowance.spend(took, now);
            match outcome {
                Ok(transcript) if !job.is_cancelled() => {
                    job.work = Work::Done {
                        transcript,
                        took,
                        at: now,
                    };
                    self.by_id.insert(id, job);
                }
                _ => {
                    job.cancel();
                    effects.push(Effect::Wasted(took));
                }
            }
            return effects;
        }
        if job.ahead {
            self.allowance.earn(took, now);
            effects.push(Effect::Useful(took));
        }
        if outcome.is_ok() {
            let audio = job.audio;
            effects.push(Effect::Transcribed { audio, took });
            if let Claim::Held { since, .. } = job.claim {
                self.totals.has_words(now.saturating_sub(since));
            }
        }
        let answer = outcome.map(|transcript| job.answered(transcript, since, now));
        self.answer(job, answer, &mut effects);
        effects
    }

    /// The device has let go of all that ran, without words.
    pub(super) fn lost(&mut self, fault: &Fault, now: Duration) -> Effects {
        let running = self.by_id.iter().filter(|(_, job)| job.is_running());
        let running: Vec<u64> = running.map(|(id, _)| *id).collect();
        let lost = |id| self.done(id, Err(fault.clone()), now).into_iter();
        running.into_iter().flat_map(lost).collect()
    }

    /// Refuses whatever comes from now on; what a client waits for is still done.
    pub(super) fn close(&mut self, fault: Fault) -> Effects {
        self.closed.get_or_insert(fault);
        let mut effects = Effects::default();
        self.by_id.retain(|_, job| {
            if job.was_claimed() {
                return true;
            }
            job.cancel();
            if let Work::Done { took, .. } = job.work {
                effects.push(Effect::Wasted(took));
            }
            job.is_running()
        });
        effects
    }

    /// As [`Jobs::close`], and the device is not waited for any more.
    pub(super) fn abandon(&mut self, fault: &Fault, now: Duration) -> Effects {
        self.pass(now);
        let mut effects = self.close(fault.clone());
        for job in std::mem::take(&mut self.by_id).into_values() {
            job.cancel();
            if let (Work::Running(since), Claim::None) = (&job.work, &job.claim) {
                effects.push(Effect::Wasted(now.saturating_sub(*since)));
            }
            self.answer(job, Err(fault.clone()), &mut effects);
        }
        effects
    }

    pub(super) fn judge(&mut self, verdict: Verdict) {
        self.failed_in_a_row = match verdict {
            Verdict::Works => 0,
            Verdict::Fails => self.failed_in_a_row.saturating_add(1),
            Verdict::Unknown => self.failed_in_a_row,
        };
    }

    /// How many tries in a row failed, if that is so many that the device is taken for broken.
    pub(super) fn broken(&self) -> Option<u32> {
        Some(self.failed_in_a_row).filter(|failed| *failed >= BROKEN_AFTER)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Whether there is something for a device that does nothing.
    pub(super) fn has_work(&self) -> bool {
        self.by_id.values().any(Job::is_waiting)
    }

    /// Jobs on the device, those among them that it should let go of too.
    pub(super) fn on_device(&self) -> usize {
        self.by_id.values().filter(|job| job.is_running()).count()
    }

    pub(super) fn report(&self, report: &mut LoadReport, now: Duration) {
        let running = self.by_id.values().filter(|job| job.is_running());
        report.queued = self.queued().count();
        report.running = running.filter(|job| job.is_held()).count();
        report.waiting_audio_s = self.waiting_audio().as_secs_f64();
        report.oldest_wait_s = self
            .queued()
            .filter_map(|job| match job.claim {
                Claim::Held { since, .. } => Some(now.saturating_sub(since)),
                Claim::None | Claim::Released => None,
            })
            .max()
            .unwrap_or_default()
            .as_secs_f64();
        self.totals.report(report);
        report.busy_s_total = self.busy(now).as_secs_f64();
    }

    /// Time in which the device had a job that is or was claimed, each from its own beginning.
    pub(super) fn busy(&self, now: Duration) -> Duration {
        self.busy.at(now, self.is_busy())
    }

    fn enter(&mut self, input: Input, ahead: bool) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.by_id.insert(id, Job::new(input, ahead));
        id
    }

    /// Whether an utterance of this length may wait.
    fn admit(&mut self, audio: Duration) -> Result<(), Fault> {
        if let Some(fault) = self.closed.clone() {
            return Err(fault);
        }
        let waiting = self.queued().count();
        let too_much_audio = waiting > 0 && self.waiting_audio() + audio > self.limits.audio;
        if waiting >= self.limits.jobs || too_much_audio {
            self.totals.refused += 1;
            return Err(Fault::Overloaded { waiting });
        }
        Ok(())
    }

    /// Ends the claim on a job, if a client holds one.
    fn answer(&mut self, job: Job, answer: Answer, effects: &mut Effects) {
        if let Claim::Held { reply, .. } = job.claim {
            self.totals.finished += 1;
            effects.push(Effect::Answer(reply, answer));
        }
    }

    /// Counts the time until now; before every change of what runs or is claimed.
    fn pass(&mut self, now: Duration) {
        let is_busy = self.is_busy();
        self.busy.pass(now, is_busy);
    }

    fn is_busy(&self) -> bool {
        let is_busy = |job: &Job| job.is_running() && job.was_claimed();
        self.by_id.values().any(is_busy)
    }

    fn running(&self, limits: BatchLimits) -> Running {
        let running = self.by_id.values().filter(|job| job.is_running());
        running.fold(Running::default(), |running, job| Running {
            jobs: running.jobs + 1,
            long: running.long + usize::from(limits.is_long(job.seen())),
        })
    }

    /// Utterances that wait.
    fn queued(&self) -> impl Iterator<Item = &Job> {
        let jobs = self.by_id.values();
        jobs.filter(|job| job.is_waiting() && job.was_claimed())
    }

    fn waiting_audio(&self) -> Duration {
        self.queued().map(|job| job.audio).sum()
    }
}
