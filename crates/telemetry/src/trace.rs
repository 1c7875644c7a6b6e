//! Traces that begin in another program, and parts of a span that are told when it is over.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanBuilder, TraceContextExt, Tracer};
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes `span`, which has not been entered yet, part of the trace that a client's headers name: `traceparent` and
/// `tracestate` of W3C Trace Context. Headers that name none, or are wrong, change nothing.
pub fn join_trace(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    if context.span().span_context().is_valid() {
        // Without an exporter there are no traces.
        span.set_parent(context).ok();
    }
}

/// A part of the time of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What it is called in traces.
    pub name: &'static str,
    /// How long ago it began.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// What is told of it, with numbers.
    pub figures: Vec<(&'static str, u64)>,
}

/// Adds parts to `span`, as children of it. Without an exporter nothing is done.
pub fn add_stages(span: &Span, stages: impl IntoIterator<Item = Stage>) {
    let context = span.context();
    if !context.span().span_context().is_sampled() {
        return;
    }
    let tracer = global::tracer("stages");
    let now = SystemTime::now();
    for stage in stages {
        let began = now - stage.began;
        let figure = |(name, value): (&'static str, u64)| {
            KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX))
        };
        let builder = SpanBuilder::from_name(stage.name)
            .with_start_time(began)
            .with_attributes(stage.figures.into_iter().map(figure));
        let mut part = tracer.build_with_context(builder, &context);
        part.end_with_timestamp(began + stage.took);
    }
}

struct Headers<'h>(&'h HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
