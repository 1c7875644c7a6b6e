//! What pods told, and how old each word is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use telemetry::load::LoadReport;

use super::Loads;
use super::snapshot::Told;
use crate::controller::pods::Pods;

/// How old a word may be: three rounds.
const FRESH: Duration = Duration::from_secs(15);
/// How long one round waits for all answers; what comes later is asked for again.
const ROUND: Duration = Duration::from_secs(2);

/// What is known of one pod.
#[derive(Clone, Debug, Default)]
struct Word {
    /// When it told something last, and what.
    last: Option<(Duration, LoadReport)>,
    /// Since when it has been asked.
    since: Duration,
    /// Whether it did not answer when it was asked last.
    has_failed: bool,
}

/// What pods told, by their name.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<String, Word>);

impl Reports {
    /// Asks every ready pod that may be asked. `now` is the time since any fixed moment.
    pub(super) async fn ask(&mut self, loads: &dyn Loads, pods: &Pods, port: u16, now: Duration) {
        self.0
            .retain(|name, _| pods.ready.iter().any(|pod| pod.name == *name));
        let mut answers = FuturesUnordered::new();
        for pod in &pods.ready {
            let word = self.0.entry(pod.name.clone()).or_insert_with(|| Word {
                since: now,
                ..Word::default()
            });
            let Ok(ip) = pod.ip.parse::<IpAddr>() else {
                continue;
            };
            if !pod.may_be_asked {
                continue;
            }
            let is_doubtful = word.has_failed;
            answers.push(async move { (&pod.name, loads.load(ip, port, is_doubtful).await) });
        }
        let all = async {
            while let Some((name, report)) = answers.next().await {
                let Some(word) = self.0.get_mut(name) else {
                    continue;
                };
                word.has_failed = report.is_none();
                if let Some(report) = report {
                    word.last = Some((now, report));
                }
            }
        };
        // What is not there by then counts as not told.
        tokio::time::timeout(ROUND, all).await.ok();
    }

    /// What each pod told, at `now`.
    pub(super) fn told(&self, now: Duration) -> BTreeMap<String, Told> {
        let told = |word: &Word| match &word.last {
            Some((_, report)) if word.is_fresh(now) => Told::Load(Box::new(report.clone())),
            Some((at, _)) => Told::Silent { since: *at },
            None => Told::Silent { since: word.since },
        };
        let words = self.0.iter();
        words
            .map(|(name, word)| (name.clone(), told(word)))
            .collect()
    }
}

impl Word {
    fn is_fresh(&self, now: Duration) -> bool {
        let age = self.last.as_ref().map(|(at, _)| now.saturating_sub(*at));
        age.is_some_and(|age| age <= FRESH)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::controller::pods::ReadyPod;

    /// Even addresses answer at once, odd ones never.
    struct Half;

    impl Loads for Half {
        fn load(&self, ip: IpAddr, _: u16, is_doubtful: bool) -> BoxFuture<'_, Option<LoadReport>> {
            Box::pin(async move {
                let IpAddr::V4(ip) = ip else { return None };
                if ip.octets()[3] % 2 == 1 {
                    std::future::pending::<()>().await;
                }
                assert!(!is_doubtful);
                Some(LoadReport::default())
            })
        }
    }

    fn pod(number: u8, may_be_asked: bool) -> ReadyPod {
        ReadyPod {
            name: format!("pod-{number}"),
            ip: format!("10.0.0.{number}"),
            startup: None,
            may_be_asked,
            deletion_cost: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pods_that_do_not_answer_do_not_silence_the_others() {
        let pods = Pods {
            ready: vec![pod(1, true), pod(2, true), pod(4, false)],
            ..Pods::default()
        };
        let mut reports = Reports::default();
        let seconds = Duration::from_secs;
        for now in [100, 105, 110, 115, 120] {
            let begun = tokio::time::Instant::now();
            reports.ask(&Half, &pods, 1, seconds(now)).await;
            assert!(begun.elapsed() <= ROUND);
        }
        let told = reports.told(seconds(120));
        assert_eq!(
            told["pod-1"],
            Told::Silent {
                since: seconds(100)
            }
        );
        assert!(matches!(told["pod-2"], Told::Load(_)));
        assert_eq!(
            told["pod-4"],
            Told::Silent {
                since: seconds(100)
            }
        );
        // A word is believed for three rounds.
        assert!(matches!(reports.told(seconds(135))["pod-2"], Told::Load(_)));
        let late = reports.told(seconds(136));
        assert_eq!(
            late["pod-2"],
            Told::Silent {
                since: seconds(120)
            }
        );
    }
}
