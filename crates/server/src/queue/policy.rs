//! Which waiting jobs join those that run. Pure.
//!
//! First come first served, with one exception: long files, which stay for many windows, have half of
//! the places at most, so that a short command never waits until one of them is done. A file that waits
//! for that lets the commands behind it pass; when a place is free for it, it is the first.
//!
//! Work that no client has claimed is taken only when nothing is claimed and the device is free, one job
//! at a time.

/// What the policy knows of a waiting job, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Length of its audio in samples.
    pub samples: usize,
    /// A client waits for its words.
    pub is_claimed: bool,
}

/// What runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Running {
    /// Jobs in all.
    pub jobs: usize,
    /// Long ones among them.
    pub long: usize,
}

/// Bounds of what runs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most jobs.
    pub jobs: usize,
    /// Samples of one window of the model.
    pub window_samples: usize,
}

impl BatchLimits {
    /// Whether the audio takes several windows.
    pub fn is_long(self, job: Waiting) -> bool {
        job.samples > self.window_samples
    }

    /// Most jobs; of one place at least something can be done.
    fn places(self) -> usize {
        self.jobs.max(1)
    }

    /// Most long jobs.
    fn long_places(self) -> usize {
        (self.places() / 2).max(1)
    }
}

/// Indices, ascending, of the jobs that join.
pub fn joining(waiting: &[Waiting], running: Running, limits: BatchLimits) -> Vec<usize> {
    if !waiting.iter().any(|job| job.is_claimed) {
        let first = (0..waiting.len()).next();
        return first.filter(|_| running.jobs == 0).into_iter().collect();
    }
    let mut running = running;
    let mut joining = Vec::new();
    let claimed = |(_, job): &(usize, &Waiting)| job.is_claimed;
    for (index, job) in waiting.iter().enumerate().filter(claimed) {
        if running.jobs >= limits.places() {
            break;
        }
        let is_long = limits.is_long(*job);
        if is_long && running.long >= limits.long_places() {
            continue;
        }
        running.jobs += 1;
        running.long += usize::from(is_long);
        joining.push(index);
    }
    joining
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        jobs: 4,
        window_samples: 100,
    };

    fn claimed(samples: usize) -> Waiting {
        Waiting {
            samples,
            is_claimed: true,
        }
    }

    fn check(jobs: usize, long: usize, samples: &[usize], expected: &[usize]) {
        let waiting: Vec<Waiting> = samples.iter().copied().map(claimed).collect();
        let running = Running { jobs, long };
        assert_eq!(joining(&waiting, running, LIMITS), expected, "{samples:?}");
    }

    #[test]
    fn the_oldest_join_while_there_are_places() {
        check(0, 0, &[], &[]);
        check(0, 0, &[50, 100, 60, 70, 80], &[0, 1, 2, 3]);
        check(3, 0, &[50, 60], &[0]);
        check(4, 0, &[50], &[]);
    }

    #[test]
    fn long_files_have_half_of_the_places() {
        check(0, 0, &[200, 300, 400, 50, 60], &[0, 1, 3, 4]);
        check(2, 2, &[200, 50], &[1]);
        check(2, 1, &[200, 300, 50], &[0, 2]);
        // The file that waited is the first when a place for it is free.
        check(3, 1, &[300, 50], &[0]);
    }

    #[test]
    fn one_place_is_for_everybody() {
        for jobs in [0, 1] {
            let limits = BatchLimits { jobs, ..LIMITS };
            let waiting = [claimed(500), claimed(5)];
            assert_eq!(joining(&waiting, Running::default(), limits), [0]);
        }
    }

    #[test]
    fn unclaimed_work_joins_alone_and_only_where_nothing_is_claimed() {
        let unclaimed = |samples| Waiting {
            is_claimed: false,
            ..claimed(samples)
        };
        let joining = |waiting: &[Waiting], jobs| {
            let running = Running { jobs, long: 0 };
            joining(waiting, running, LIMITS)
        };
        assert_eq!(joining(&[unclaimed(50), unclaimed(60)], 0), [0]);
        assert_eq!(joining(&[unclaimed(50)], 1), [0; 0]);
        assert_eq!(joining(&[unclaimed(50), claimed(60)], 0), [1]);
        // Nor beside a claimed job that has to wait.
        assert_eq!(joining(&[unclaimed(50), claimed(60)], 4), [0; 0]);
    }

    #[derive(Clone, Copy, Debug)]
    struct Job {
        id: usize,
        samples: usize,
        /// Rounds that it still runs, or will run.
        rounds: usize,
        came: usize,
    }

    proptest! {
        /// Jobs arrive in groups, and run for some rounds: each runs once, those of one kind join in the
        /// order in which they came, and no more run than there are places for them.
        #[test]
        fn no_job_is_lost_doubled_or_starved(
            arrivals in proptest::collection::vec(
                proptest::collection::vec((1_usize..300, 1_usize..6), 0..6), 1..20),
        ) {
            let total: usize = arrivals.iter().map(Vec::len).sum();
            let mut arrivals = arrivals.into_iter();
            let (mut waiting, mut running): (Vec<Job>, Vec<Job>) = (Vec::new(), Vec::new());
            let (mut joined, mut next_id) = (Vec::new(), 0);
            for round in 0..20 + 6 * total {
                for (samples, rounds) in arrivals.next().unwrap_or_default() {
                    waiting.push(Job { id: next_id, samples, rounds, came: round });
                    next_id += 1;
                }
                let is_long = |job: &Job| LIMITS.is_long(claimed(job.samples));
                let now = Running {
                    jobs: running.len(),
                    long: running.iter().filter(|job| is_long(job)).count(),
                };
                let seen: Vec<Waiting> = waiting
                    .iter()
                    .map(|job| claimed(job.samples))
                    .collect();
                for index in joining(&seen, now, LIMITS).into_iter().rev() {
                    running.push(waiting.remove(index));
                }
                running.sort_by_key(|job| job.id);
                for job in &running {
                    if !joined.contains(&job.id) {
                        joined.push(job.id);
                    }
                }
                prop_assert!(running.len() <= LIMITS.jobs);
                prop_assert!(running.iter().filter(|job| is_long(job)).count() <= LIMITS.jobs / 2);
                // Each place is free at least every fifth round, and the job that came first goes first.
                for job in &waiting {
                    prop_assert!(round - job.came <= 5 * (job.id + 1), "{job:?} in round {round}");
                }
                for job in &mut running {
                    job.rounds -= 1;
                }
                running.retain(|job| job.rounds > 0);
            }
            prop_assert!(waiting.is_empty() && running.is_empty());
            joined.sort_unstable();
            prop_assert_eq!(joined, (0..total).collect::<Vec<_>>());
        }
    }
}
