//! One load report for all instruments of a collection.
//!
//! OpenTelemetry asks each instrument by itself. A page whose figures are of twelve moments may say that
//! more utterances were answered than were accepted.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use telemetry::load::LoadReport;

/// What the current collection of each thread reads. A collection runs on one thread, from the first
/// instrument to the last; several run at once when there are several readers.
pub(super) struct Moment {
    report: Box<dyn Fn() -> LoadReport + Send + Sync>,
    /// Replaced by the thread's next collection: as many as there are threads that collect.
    current: Mutex<HashMap<ThreadId, LoadReport>>,
}

impl fmt::Debug for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Moment").finish_non_exhaustive()
    }
}

impl Moment {
    pub(super) fn new(report: impl Fn() -> LoadReport + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            report: Box::new(report),
            current: Mutex::default(),
        })
    }

    /// The first instrument of a collection is asked.
    pub(super) fn begin(&self) {
        let report = (self.report)();
        self.lock().insert(std::thread::current().id(), report);
    }

    /// Reads of the report that this thread's collection began with.
    pub(super) fn read<T>(&self, read: impl FnOnce(&LoadReport) -> T) -> T {
        match self.lock().get(&std::thread::current().id()) {
            Some(report) => read(report),
            // Not in a collection.
            None => read(&(self.report)()),
        }
    }

    /// Whole at every step.
    fn lock(&self) -> MutexGuard<'_, HashMap<ThreadId, LoadReport>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
