//! What a round came upon: all that a status is made of.

use jiff::Timestamp;
use telemetry::load::LoadReport;

use super::idle::Wait;
use super::pods::Pods;
use super::rollout::Rollout;
use super::validate::{Fault, ValidStt};
use crate::api::{WyomingStt, WyomingSttStatus};
use crate::scale::Decision;

/// What a reconcile came upon.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The object.
    pub object: &'a WyomingStt,
    /// The lease of the operator that reports.
    pub operator: &'a str,
    /// The status that it has.
    pub before: Option<&'a WyomingSttStatus>,
    /// Whether the operator may only look.
    pub is_paused: bool,
    /// What its rollout waits for.
    pub wait: Option<&'a Wait>,
    /// What the object means, or its faults.
    pub valid: Result<&'a ValidStt, &'a [Fault]>,
    /// How far the Deployment has come.
    pub rollout: Option<&'a Rollout>,
    /// Its pods.
    pub pods: &'a Pods,
    /// What pods that answered told.
    pub reports: &'a [LoadReport],
    /// What the autoscaler decided.
    pub decision: Option<&'a Decision>,
    /// Why children could not be written.
    pub refusal: Option<Fault>,
    /// Now.
    pub now: Timestamp,
}
