//! How a process is seen: logs, traces, metrics, the load report and the admin pages.

pub mod admin;
mod build_info;
mod error;
mod listen;
pub mod load;
mod logging;
mod metrics;
mod otlp;
mod trace;

pub use build_info::{BUILD, BuildInfo};
pub use error::{TelemetryError, chain};
pub use listen::listen;
pub use logging::{Guard, LogFormat, Settings, init};
pub use metrics::Meters;
pub use otlp::Otlp;
pub use trace::{Stage, add_stages, join_trace};
