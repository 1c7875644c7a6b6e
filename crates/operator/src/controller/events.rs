//! Events on an object: when Ready changes its reason, and when the autoscaler changes its order.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use super::reason::Reason;
use super::status::scale_reason;
use crate::api::{WyomingStt, WyomingSttStatus};
use crate::scale::Decision;

/// The events that `new` is worth, after `old`.
pub fn events(
    old: Option<&WyomingSttStatus>,
    new: &WyomingSttStatus,
    decision: Option<&Decision>,
) -> Vec<Event> {
    let warned = |type_, trouble| warned(old, new, type_, trouble);
    ready(old, new)
        .into_iter()
        .chain(warned("AutoscalingActive", "False"))
        .chain(warned("CapacityLimited", "True"))
        .chain(warned("Degraded", "True"))
        .chain(decision.and_then(|decision| scaled(old, new, decision)))
        .collect()
}

/// A condition that came to say trouble, with another reason than before. An autoscaler that is not meant to work is
/// none.
fn warned(
    old: Option<&WyomingSttStatus>,
    new: &WyomingSttStatus,
    type_: &str,
    trouble: &str,
) -> Option<Event> {
    let find = |status: &WyomingSttStatus| {
        let mut all = status.conditions.iter();
        all.find(|it| it.type_ == type_ && it.status == trouble)
            .cloned()
    };
    let now = find(new)?;
    let meant = [Reason::NotConfigured, Reason::Paused, Reason::NotDecided];
    let is_meant = meant.iter().any(|it| it.name() == now.reason);
    let is_same = old
        .and_then(find)
        .is_some_and(|old| old.reason == now.reason);
    (!is_meant && !is_same).then(|| Event {
        type_: EventType::Warning,
        reason: now.reason,
        note: Some(note(&now.message)),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

fn ready(old: Option<&WyomingSttStatus>, new: &WyomingSttStatus) -> Option<Event> {
    let find = |status: &WyomingSttStatus| {
        let mut all = status.conditions.iter();
        all.find(|condition| condition.type_ == "Ready").cloned()
    };
    let now = find(new)?;
    let is_same = old
        .and_then(find)
        .is_some_and(|old| (old.status, old.reason) == (now.status.clone(), now.reason.clone()));
    (!is_same).then(|| Event {
        // A start is no trouble.
        type_: if now.status == "True" || now.reason == Reason::Starting.name() {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: now.reason,
        note: Some(note(&now.message)),
        action: "Reconcile".to_owned(),
        secondary: None,
    })
}

fn scaled(
    old: Option<&WyomingSttStatus>,
    new: &WyomingSttStatus,
    decision: &Decision,
) -> Option<Event> {
    let desired = |status: &WyomingSttStatus| Some(status.autoscaling.as_ref()?.desired_replicas);
    let (before, after) = (desired(old?)?, desired(new)?);
    (before != after).then(|| Event {
        type_: EventType::Normal,
        reason: "Scaled".to_owned(),
        note: Some(note(&format!(
            "from {before} to {after} replicas: {}",
            scale_reason(decision)
        ))),
        action: "Scale".to_owned(),
        secondary: None,
    })
}

/// The operator of the whole cluster leaves the object to `other`, which watches its namespace.
pub fn left_to(other: &str) -> Event {
    Event {
        type_: EventType::Normal,
        reason: "LeftToOther".to_owned(),
        note: Some(note(&format!(
            "two operators watch this namespace: {other}, which watches it alone, looks after the object"
        ))),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// An event's note holds 1 kB.
fn note(text: &str) -> String {
    text.chars().take(250).collect()
}

/// Publishes `events` on `object`. The status says the same, so that a failure costs nothing.
pub async fn publish(recorder: &Recorder, object: &WyomingStt, events: Vec<Event>) {
    for event in events {
        if let Err(error) = recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, reason = event.reason, "event not published");
        }
    }
}
