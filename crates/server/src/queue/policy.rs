//! Which waiting jobs make the next batch. Pure.

/// What the policy knows of a waiting job, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Length of its audio in samples.
    pub samples: usize,
}

/// Bounds of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most jobs.
    pub jobs: usize,
    /// Samples of one window of the model: longer audio takes several rounds.
    pub window_samples: usize,
}

/// Indices, ascending, of the jobs to run next; the oldest is always among them, so none starves.
///
/// Jobs of one window go together. A longer one goes with others as long: beside it a short command
/// would wait for rounds that it has no part in.
pub fn next_batch(waiting: &[Waiting], limits: BatchLimits) -> Vec<usize> {
    let Some(oldest) = waiting.first() else {
        return Vec::new();
    };
    let is_long = |job: &Waiting| job.samples > limits.window_samples;
    let kind = is_long(oldest);
    (0..waiting.len())
        .filter(|&index| waiting.get(index).is_some_and(|job| is_long(job) == kind))
        .take(limits.jobs.max(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits {
        jobs: 3,
        window_samples: 100,
    };

    fn check(samples: &[usize], expected: &[usize]) {
        let waiting: Vec<Waiting> = samples.iter().map(|&samples| Waiting { samples }).collect();
        assert_eq!(next_batch(&waiting, LIMITS), expected);
    }

    #[test]
    fn jobs_of_one_length_go_together_the_oldest_first() {
        check(&[], &[]);
        check(&[50, 60], &[0, 1]);
        check(&[50, 60, 70, 80], &[0, 1, 2]);
        check(&[50, 500, 70], &[0, 2]);
        check(&[500, 70, 600], &[0, 2]);
    }

    proptest! {
        #[test]
        fn no_job_is_lost_doubled_or_starved(samples in proptest::collection::vec(1_usize..300, 0..40)) {
            let mut waiting: Vec<(usize, Waiting)> =
                samples.iter().map(|&samples| Waiting { samples }).enumerate().collect();
            let mut ran = Vec::new();
            while !waiting.is_empty() {
                let jobs: Vec<Waiting> = waiting.iter().map(|(_, job)| *job).collect();
                let batch = next_batch(&jobs, LIMITS);
                prop_assert_eq!(batch.first(), Some(&0));
                prop_assert!(batch.len() <= LIMITS.jobs);
                for index in batch.into_iter().rev() {
                    ran.push(waiting.remove(index).0);
                }
            }
            ran.sort_unstable();
            prop_assert_eq!(ran, (0..samples.len()).collect::<Vec<_>>());
        }
    }
}
