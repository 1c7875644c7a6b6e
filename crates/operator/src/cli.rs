//! The command line, and nothing else that reads the environment.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use telemetry::{Otlp, TelemetryError};

/// Keeps speech-to-text endpoints as they were declared.
#[derive(Debug, Parser)]
#[command(name = "wyoming-stt-operator", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile WyomingStt objects until SIGTERM.
    Run(Box<RunArgs>),
    /// Print the definition of WyomingStt as YAML.
    Crd,
    /// Compare the scaling rule with others on made-up loads and troubles, or on a recorded load, and print tables.
    Simulate(SimulateArgs),
}

/// `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Also draw load, replicas and wait.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// A recorded load instead: CSV with arrival and length in seconds, one utterance a line.
    #[arg(long, value_name = "FILE")]
    pub load: Option<PathBuf>,
    /// With `--load`: seconds that a replica takes to start.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(..=86_400), value_name = "S")]
    pub startup_seconds: u32,
    /// With `--load`: seconds that a replica works on one utterance.
    #[arg(long, default_value_t = 2.0, value_parser = seconds, value_name = "S")]
    pub service_seconds: f64,
    /// With `--load`: further seconds of work for each second of speech.
    #[arg(long, default_value_t = 0.0, value_parser = seconds, value_name = "S")]
    pub service_per_second: f64,
    /// With `--load`: utterances that a replica recognises together.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64), value_name = "N")]
    pub slots: u16,
    /// With `--load`: replicas at most.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub max_replicas: u32,
    /// With `--load`: seconds from the last word to the words that count as in time.
    #[arg(long, default_value_t = 10.0, value_parser = seconds, value_name = "S")]
    pub wait_seconds: f64,
}

/// Seconds that a simulation can work with.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("not within 0 to 3600".to_owned())
    }
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Address of the admin pages: health, ready and metrics. The host `*` is all addresses, IPv6 and IPv4.
    #[arg(
        long,
        env = "OPERATOR_ADMIN",
        default_value = "*:10390",
        value_name = "HOST:PORT"
    )]
    pub admin: String,
    /// Namespaces whose objects are reconciled; all of them when none is given.
    #[arg(
        long,
        env = "OPERATOR_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAME,…"
    )]
    pub watch_namespaces: Vec<String>,
    /// The operator's own namespace, which has the lease of an operator of the whole cluster. One of single namespaces
    /// has a lease in each of these.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        default_value = "default",
        value_name = "NAME"
    )]
    pub namespace: String,
    /// What this process calls itself in the lease, different from every other: the pod's name. Made up when
    /// unset.
    #[arg(long, env = "POD_NAME", default_value_t = made_up_identity(), hide_default_value = true, value_name = "NAME")]
    pub identity: String,
    /// Write without a lease. Only when no other operator runs.
    #[arg(long, env = "OPERATOR_NO_LEADER_ELECTION", value_parser = BoolishValueParser::new())]
    pub no_leader_election: bool,
    /// Image of the server where an object names none.
    #[arg(
        long,
        env = "OPERATOR_SERVER_IMAGE",
        default_value = concat!("wyoming-stt:", env!("CARGO_PKG_VERSION")),
        value_name = "IMAGE"
    )]
    pub server_image: String,
    /// The same for GPUs.
    #[arg(
        long,
        env = "OPERATOR_SERVER_IMAGE_CUDA",
        default_value = concat!("wyoming-stt:", env!("CARGO_PKG_VERSION"), "-cuda"),
        value_name = "IMAGE"
    )]
    pub server_image_cuda: String,
    /// Let objects mount folders of their node.
    #[arg(long, env = "OPERATOR_ALLOW_HOST_PATH", value_parser = BoolishValueParser::new())]
    pub allow_host_path: bool,
    /// Endpoints that replace their replicas at once, such as after an upgrade of the operator; 0 is no bound.
    #[arg(
        long,
        env = "OPERATOR_MAX_ROLLOUTS",
        default_value_t = 10,
        value_name = "N"
    )]
    pub max_rollouts: usize,
    /// Tell metrics of each object by namespace and name, not only sums.
    #[arg(long, env = "OPERATOR_METRICS_PER_OBJECT", value_parser = BoolishValueParser::new())]
    pub metrics_per_object: bool,
    /// What to log, as tracing directives.
    #[arg(
        long,
        env = "OPERATOR_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// How log lines on standard error look.
    #[arg(long, env = "OPERATOR_LOG_FORMAT", default_value = "json", value_enum)]
    pub log_format: LogFormatArg,
    /// OTLP collector for traces, logs and metrics (gRPC): http://HOST:PORT, or https://HOST:PORT. Headers, such as a key,
    /// come from the variable OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, env = "OPERATOR_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// PEM file of the authorities that sign the collector's certificate; without it, the system's.
    #[arg(long, env = "OPERATOR_OTLP_CA", value_name = "FILE")]
    pub otlp_ca: Option<PathBuf>,
}

/// Two processes of one name would both take the lease for theirs.
fn made_up_identity() -> String {
    let now = jiff::Timestamp::now().as_nanosecond();
    format!(
        "wyoming-stt-operator-{}-{:x}",
        std::process::id(),
        now & 0xffff_ffff
    )
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormatArg {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl RunArgs {
    /// How it logs, and where to.
    ///
    /// # Errors
    /// [`TelemetryError`] about `--otlp-endpoint` and `--otlp-ca`.
    pub fn telemetry(&self) -> Result<telemetry::Settings, TelemetryError> {
        let ca = self.otlp_ca.as_deref();
        let endpoint = self.otlp_endpoint.as_deref();
        let otlp = endpoint.map(|endpoint| Otlp::new(endpoint, ca));
        Ok(telemetry::Settings {
            service_name: "wyoming-stt-operator",
            log_format: match self.log_format {
                LogFormatArg::Text => telemetry::LogFormat::Text,
                LogFormatArg::Json => telemetry::LogFormat::Json,
            },
            // The runtime has a span around each of ours; what the client says is in the errors that we get.
            filter: format!("{},kube_runtime=error,kube_client=off", self.log),
            otlp: otlp.transpose()?,
        })
    }
}
