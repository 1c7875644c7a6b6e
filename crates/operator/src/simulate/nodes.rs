//! GPUs: those that are there, and those that a node autoscaler brings.

use std::time::Duration;

use super::Scenario;

/// How often the node autoscaler looks at pending pods.
const LOOK: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Nodes {
    there: u32,
    most: u32,
    start: Option<Duration>,
    coming: Vec<Duration>,
    looked: Option<Duration>,
}

impl Nodes {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            there: scenario
                .node_start
                .map_or(scenario.gpus, |_| scenario.first),
            most: scenario.gpus,
            start: scenario.node_start,
            coming: Vec::new(),
            looked: None,
        }
    }

    /// GPUs at `now`, one on each node.
    pub(super) fn there(&mut self, now: Duration) -> u32 {
        let before = self.coming.len();
        self.coming.retain(|at| *at > now);
        self.there += u32::try_from(before - self.coming.len()).unwrap_or(0);
        self.there
    }

    /// Orders a node for each pending pod that none is coming for.
    pub(super) fn look(&mut self, pending: usize, now: Duration) {
        let Some(start) = self.start else { return };
        if self.looked.is_some_and(|at| now.saturating_sub(at) < LOOK) {
            return;
        }
        self.looked = Some(now);
        for _ in self.coming.len()..pending {
            let all = self.there + u32::try_from(self.coming.len()).unwrap_or(u32::MAX);
            if all < self.most {
                self.coming.push(now + start);
            }
        }
    }
}
