//! Which waiting jobs make the next batch. Pure.
//!
//! Short jobs, of one window of the model, and long ones are two lines, each first come first
//! served. Side by side in one batch a short command would wait for rounds that it has no part in,
//! so batches do not mix them; and where both wait, the lines take turns, so that a command waits
//! for one batch of long files at most, and a long file for one batch of commands.

/// What the policy knows of a waiting job, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Length of its audio in samples.
    pub samples: usize,
}

/// The line that a job stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// One window of the model holds the audio.
    Short,
    /// The audio takes several windows.
    Long,
}

/// Bounds of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most jobs. A batch of long jobs has as much audio as this many full windows at most, or one
    /// job: it holds the device about as long as a full batch of short ones.
    pub jobs: usize,
    /// Samples of one window of the model.
    pub window_samples: usize,
}

impl BatchLimits {
    fn line(self, job: Waiting) -> Line {
        if job.samples > self.window_samples {
            Line::Long
        } else {
            Line::Short
        }
    }
}

/// The line whose turn it is, and the indices, ascending, of its jobs to run next; the oldest of the
/// line is always among them. `None` when nothing waits. `last` is the line that ran before.
pub fn next_batch(
    waiting: &[Waiting],
    last: Option<Line>,
    limits: BatchLimits,
) -> Option<(Line, Vec<usize>)> {
    let line = turn(waiting, last, limits)?;
    let mut samples_left = limits.jobs.saturating_mul(limits.window_samples);
    let mut batch = Vec::new();
    let of_line = |&(_, job): &(usize, &Waiting)| limits.line(*job) == line;
    for (index, job) in waiting.iter().enumerate().filter(of_line) {
        let fits = batch.len() < limits.jobs && job.samples <= samples_left;
        // The first always goes. No later job overtakes one that does not fit.
        if !batch.is_empty() && !fits {
            break;
        }
        samples_left = samples_left.saturating_sub(job.samples);
        batch.push(index);
    }
    Some((line, batch))
}

/// The other line than last time if both have jobs; at first the one of the oldest job.
fn turn(waiting: &[Waiting], last: Option<Line>, limits: BatchLimits) -> Option<Line> {
    let oldest = limits.line(*waiting.first()?);
    let both = waiting.iter().any(|job| limits.line(*job) != oldest);
    Some(match last {
        Some(Line::Short) if both => Line::Long,
        Some(Line::Long) if both => Line::Short,
        _ => oldest,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        jobs: 3,
        window_samples: 100,
    };

    fn check(last: Option<Line>, samples: &[usize], expected: Option<(Line, &[usize])>) {
        let waiting: Vec<Waiting> = samples.iter().map(|&samples| Waiting { samples }).collect();
        let expected = expected.map(|(line, batch)| (line, batch.to_vec()));
        assert_eq!(next_batch(&waiting, last, LIMITS), expected, "{samples:?}");
    }

    #[test]
    fn jobs_of_one_line_go_together_the_oldest_first() {
        check(None, &[], None);
        check(None, &[50, 100], Some((Line::Short, &[0, 1])));
        check(None, &[50, 60, 70, 80], Some((Line::Short, &[0, 1, 2])));
        check(None, &[50, 101, 70], Some((Line::Short, &[0, 2])));
        check(None, &[110, 70, 120], Some((Line::Long, &[0, 2])));
    }

    #[test]
    fn the_lines_take_turns_when_both_wait() {
        check(Some(Line::Long), &[200, 300, 50], Some((Line::Short, &[2])));
        check(Some(Line::Short), &[50, 60, 200], Some((Line::Long, &[2])));
        check(Some(Line::Short), &[50], Some((Line::Short, &[0])));
        check(Some(Line::Long), &[200], Some((Line::Long, &[0])));
    }

    #[test]
    fn a_batch_of_long_jobs_has_no_more_audio_than_one_of_short_ones() {
        check(None, &[200, 150, 101], Some((Line::Long, &[0])));
        check(None, &[150, 150, 101], Some((Line::Long, &[0, 1])));
        // Alone it goes whatever its length.
        check(None, &[5_000, 101], Some((Line::Long, &[0])));
    }

    #[test]
    fn a_limit_of_no_jobs_still_runs_one() {
        let limits = BatchLimits { jobs: 0, ..LIMITS };
        let waiting = [Waiting { samples: 50 }; 2];
        assert_eq!(
            next_batch(&waiting, None, limits),
            Some((Line::Short, vec![0]))
        );
    }

    proptest! {
        /// Jobs arrive in groups, between batches: each runs once, those of one line in the order in
        /// which they came, and none waits for more than two batches for each job before it in its
        /// own line, its own included.
        #[test]
        fn no_job_is_lost_doubled_or_starved(
            arrivals in proptest::collection::vec(
                proptest::collection::vec(1_usize..300, 0..6), 0..20),
        ) {
            let total: usize = arrivals.iter().map(Vec::len).sum();
            let mut arrivals = arrivals.into_iter();
            // Id, samples, and the batch by which it must have begun.
            let mut waiting: Vec<(usize, Waiting, usize)> = Vec::new();
            let (mut last, mut batches) = (None, 0);
            let mut ran: Vec<(usize, Line)> = Vec::new();
            let mut next_id = 0;
            while ran.len() < total {
                for samples in arrivals.next().unwrap_or_default() {
                    let job = Waiting { samples };
                    let ahead = waiting
                        .iter()
                        .filter(|(_, other, _)| LIMITS.line(*other) == LIMITS.line(job))
                        .count();
                    waiting.push((next_id, job, batches + 2 * (ahead + 1)));
                    next_id += 1;
                }
                let jobs: Vec<Waiting> = waiting.iter().map(|&(_, job, _)| job).collect();
                let Some((line, batch)) = next_batch(&jobs, last, LIMITS) else {
                    prop_assert!(waiting.is_empty());
                    continue;
                };
                batches += 1;
                prop_assert!(!batch.is_empty() && batch.len() <= LIMITS.jobs);
                let samples: usize = batch.iter().map(|&index| jobs[index].samples).sum();
                prop_assert!(batch.len() == 1 || samples <= LIMITS.jobs * LIMITS.window_samples);
                let mut taken: Vec<(usize, Line)> = Vec::new();
                for index in batch.into_iter().rev() {
                    let (id, job, latest) = waiting.remove(index);
                    prop_assert_eq!(LIMITS.line(job), line);
                    prop_assert!(batches <= latest, "job {} in batch {} of {}", id, batches, latest);
                    taken.push((id, line));
                }
                ran.extend(taken.into_iter().rev());
                last = Some(line);
            }
            for line in [Line::Short, Line::Long] {
                let ids: Vec<usize> = ran.iter().filter(|job| job.1 == line).map(|job| job.0).collect();
                prop_assert!(ids.is_sorted());
            }
            let mut ids: Vec<usize> = ran.into_iter().map(|(id, _)| id).collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..total).collect::<Vec<_>>());
        }
    }
}
