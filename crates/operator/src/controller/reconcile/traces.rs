//! The trace of a round: one root, a child for each stage, and what a person looks for in its fields.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::world::{World, demo, idle};

#[derive(Clone, Debug, Default)]
struct Seen {
    name: &'static str,
    parent: Option<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

/// Every span, in the order in which they began.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(Id, Seen)>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        let span = context.span(id).unwrap();
        let mut seen = Seen {
            name: span.name(),
            parent: span.parent().map(|parent| parent.name()),
            ..Seen::default()
        };
        attributes.record(&mut seen);
        self.0.lock().unwrap().push((id.clone(), seen));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: LayerContext<'_, S>) {
        let mut spans = self.0.lock().unwrap();
        let (_, seen) = spans
            .iter_mut()
            .rev()
            .find(|(known, _)| known == id)
            .unwrap();
        values.record(seen);
    }
}

impl Spans {
    fn of(&self, name: &str) -> Vec<Seen> {
        let spans = self.0.lock().unwrap();
        let named = spans.iter().filter(|(_, seen)| seen.name == name);
        named.map(|(_, seen)| seen.clone()).collect()
    }
}

#[tokio::test]
async fn a_round_is_a_trace_with_a_span_for_each_stage() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    // With one subscriber alone a span that begins first in another test's thread would be off for good.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    // As if some span of the runtime was around it.
    let outer = tracing::info_span!("outer").entered();
    let mut world = World::new(&demo(), idle());
    world.round().await.unwrap();
    world.round().await.unwrap();
    world.object.spec.pod_template =
        serde_json::from_value(json!({"spec": {"hostPID": true}})).unwrap();
    world.round().await.unwrap();
    drop(outer);
    let rounds = spans.of("reconcile");
    let outcomes: Vec<&str> = rounds
        .iter()
        .map(|round| round.fields["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["applied", "settled", "invalid"]);
    for round in &rounds {
        assert_eq!(round.parent, None);
        assert_eq!(round.fields["name"], "kitchen");
        assert_eq!(round.fields["namespace"], "home");
        assert_eq!(round.fields["generation"], "3");
    }
    assert_eq!(rounds[1].fields["replicas"], "1");
    for (stage, times) in [("build", 1), ("apply", 1), ("status", 3)] {
        let seen = spans.of(stage);
        assert_eq!(seen.len(), times, "{stage}");
        assert!(
            seen.iter().all(|span| span.parent == Some("reconcile")),
            "{stage}: {seen:?}"
        );
    }
}
