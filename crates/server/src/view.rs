//! What the admin pages show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use telemetry::BuildInfo;
use telemetry::admin::Pages;
use telemetry::load::{LoadReport, ModelReport, SCHEMA};

use crate::names::Names;
use crate::queue::ModelState;
use crate::wyoming_server::Service;

/// The server, as the admin pages see it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) service: Arc<Service>,
    pub(crate) draining: AtomicBool,
    pub(crate) slots: usize,
    pub(crate) revision: String,
    pub(crate) names: Names,
}

impl Pages for View {
    fn health(&self) -> Result<(), String> {
        match &*self.service.state.borrow() {
            ModelState::Failed(reason) => Err(reason.to_string()),
            _ => self.service.queue.health(),
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("the server is shutting down".to_owned());
        }
        match &*self.service.state.borrow() {
            ModelState::Loading => Err("the model is being loaded".to_owned()),
            ModelState::Failed(reason) => Err(reason.to_string()),
            ModelState::Ready(_) => Ok(()),
        }
    }

    fn load(&self) -> LoadReport {
        let mut report = LoadReport {
            schema: SCHEMA,
            ready: self.ready().is_ok(),
            draining: self.draining.load(Ordering::Relaxed),
            slots: self.slots,
            open_streams: self.service.open_streams.load(Ordering::Relaxed),
            model: ModelReport {
                name: self.service.model.clone(),
                revision: self.revision.clone(),
                ..ModelReport::default()
            },
            build: BuildInfo::current(),
            ..LoadReport::default()
        };
        if let ModelState::Ready(loaded) = &*self.service.state.borrow() {
            report.model.sha256.clone_from(&loaded.info.sha256);
            report.model.bytes = loaded.info.weight_bytes;
            report.device.clone_from(&loaded.info.device);
            if let Some(places) = loaded.places {
                report.slots = places;
            }
        }
        self.service.queue.report(&mut report);
        report
    }

    fn info(&self) -> Option<Value> {
        let mut info = serde_json::to_value(self.service.info()).ok()?;
        info.as_object_mut()?
            .insert("names".to_owned(), self.names.borrow().report());
        Some(info)
    }
}
