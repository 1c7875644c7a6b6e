//! The life of the operator: telemetry, lease, controllers, stop.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::{FutureExt, StreamExt, stream};
use kube::runtime::controller::{self, applier};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, Config};
use telemetry::admin::{self, Pages};
use telemetry::load::{LoadReport, SCHEMA};
use telemetry::{Meters, TelemetryError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::RunArgs;
use crate::controller::fleet::{self, Fleets, HttpLoads};
use crate::controller::memory::Memories;
use crate::controller::mirror::Owner;
use crate::controller::mirrors::Mirrors;
use crate::controller::names::MANAGER;
use crate::controller::reconcile::{Context, Said, reconcile, retry};
use crate::controller::rollouts::Rollouts;
use crate::controller::scope::Scope;
use crate::controller::validate::Defaults;
use crate::controller::watch::{Guarded, Triggers, follow_all, objects};
use crate::lease::{self, Candidate, Lost, Others, Term};
use crate::metrics::Metrics;
use crate::vitals::Vitals;

/// Objects that are reconciled at once. A round's time is waiting for the API server.
const CONCURRENCY: u16 = 32;
/// Rounds that go on when the process is told to stop have this long to end.
const STOP: Duration = Duration::from_secs(10);
/// Names the operator in the API server's log.
const USER_AGENT: &str = concat!("wyoming-stt-operator/", env!("CARGO_PKG_VERSION"));

/// Why the operator ended other than by a signal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Metrics cannot be made.
    #[error("cannot start telemetry")]
    Telemetry {
        /// What went wrong.
        source: TelemetryError,
    },
    /// No way to the API server.
    #[error("cannot find the API server: neither a kubeconfig nor a service account works")]
    Config {
        /// What went wrong.
        source: kube::config::InferConfigError,
    },
    /// The way to the API server cannot be used.
    #[error("cannot make a client of the API server")]
    Client {
        /// What went wrong.
        source: kube::Error,
    },
    /// No HTTP client for the pods' load.
    #[error("cannot ask pods for their load")]
    Loads {
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The admin port cannot be had.
    #[error("cannot listen at {address} for admin pages")]
    Listen {
        /// What was asked for.
        address: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Signals cannot be heard.
    #[error("cannot wait for signals")]
    Signals {
        /// What went wrong.
        source: std::io::Error,
    },
    /// Another process writes now.
    #[error("stopped, so that no two processes write at the same time")]
    Lost {
        /// Which lease.
        source: Lost,
    },
}

struct Admin {
    leader: watch::Receiver<bool>,
    vitals: Arc<Vitals>,
    metrics: Metrics,
}

impl Pages for Admin {
    fn health(&self) -> Result<(), String> {
        self.vitals.health(self.metrics.objects())
    }

    fn ready(&self) -> Result<(), String> {
        self.vitals.ready()
    }

    fn load(&self) -> LoadReport {
        LoadReport {
            schema: SCHEMA,
            ready: *self.leader.borrow(),
            ..LoadReport::default()
        }
    }

    fn info(&self) -> Option<serde_json::Value> {
        None
    }
}

/// What every namespace's controller shares.
struct Shared {
    client: Client,
    identity: String,
    /// The operator's own namespace.
    namespace: String,
    is_elected: bool,
    /// Whether this process writes anywhere.
    leader: watch::Sender<bool>,
    defaults: Defaults,
    max_rollouts: usize,
    loads: Arc<HttpLoads>,
    recorder: Recorder,
    metrics: Metrics,
    vitals: Arc<Vitals>,
    started: Instant,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`] when it cannot start, or when it lost the lease.
pub async fn run(args: RunArgs) -> Result<(), RunError> {
    // Two providers may be in one build; which one is used is said once, before the first connection.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let meters = args
        .telemetry()
        .and_then(|told| Meters::new(MANAGER, "stt_operator", told.otlp.as_ref()))
        .map_err(|source| RunError::Telemetry { source })?;
    let client = client().await?;
    let (sender, leader) = watch::channel(false);
    let metrics = Metrics::new(&meters, args.metrics_per_object, leader.clone());
    let vitals = Arc::new(Vitals::default());
    let admin = Admin {
        leader: leader.clone(),
        vitals: Arc::clone(&vitals),
        metrics: metrics.clone(),
    };
    let pages = serve_pages(&args.admin, admin, &meters, stop.clone()).await?;

    let shared = Shared {
        client: client.clone(),
        identity: args.identity.clone(),
        namespace: args.namespace,
        is_elected: !args.no_leader_election,
        leader: sender,
        defaults: Defaults {
            server_image: args.server_image,
            server_image_cuda: args.server_image_cuda,
            allow_host_path: args.allow_host_path,
        },
        max_rollouts: args.max_rollouts,
        loads: Arc::new(HttpLoads::new().map_err(|source| RunError::Loads { source })?),
        recorder: Recorder::new(
            client,
            Reporter {
                controller: format!("wyoming-stt.dev/{MANAGER}"),
                instance: Some(args.identity),
            },
        ),
        metrics,
        vitals: Arc::clone(&vitals),
        started: Instant::now(),
    };
    let result = Box::pin(everywhere(args.watch_namespaces, &shared, &stop)).await;
    stop.cancel();
    pages.await.ok();
    result.map_err(|source| RunError::Lost { source })
}

/// Both to their end, or at once to the end of the first when the lease is lost: what is under way is dropped,
/// since it must not write any more.
async fn lead_while_held(
    holder: impl Future<Output = Result<(), Lost>>,
    controllers: impl Future<Output = ()>,
) -> Result<(), Lost> {
    let (mut holder, mut controllers) = (Box::pin(holder), Box::pin(controllers));
    // Cancel-safe: what is not finished goes on below, or is meant to be dropped.
    tokio::select! {
        biased;
        held = &mut holder => held?,
        () = &mut controllers => holder.await?,
    }
    Ok(())
}

async fn client() -> Result<Client, RunError> {
    let mut config = Config::infer()
        .await
        .map_err(|source| RunError::Config { source })?;
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    Client::try_from(config).map_err(|source| RunError::Client { source })
}

fn stop_on_signals(stop: &CancellationToken) -> Result<(), RunError> {
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|source| RunError::Signals { source })?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|source| RunError::Signals { source })?;
    let stop = stop.clone();
    tokio::spawn(async move {
        // Cancel-safe: a signal that is not received stays pending.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

async fn serve_pages(
    address: &str,
    pages: Admin,
    meters: &Meters,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<std::io::Result<()>>, RunError> {
    let listener = telemetry::listen(address)
        .await
        .map_err(|source| RunError::Listen {
            address: address.to_owned(),
            source,
        })?;
    let router = admin::router(Arc::new(pages), meters.clone());
    Ok(tokio::spawn(admin::serve(listener, router, stop)))
}

/// All scopes of this process: `namespaces`, each with a lease of its own, or the whole cluster. Losing one lease ends
/// the process, which starts again and waits for it.
async fn everywhere(
    mut namespaces: Vec<String>,
    shared: &Shared,
    stop: &CancellationToken,
) -> Result<(), Lost> {
    namespaces.sort_unstable();
    namespaces.dedup();
    if namespaces.is_empty() {
        let others = Arc::new(if shared.is_elected {
            Others::of_cluster()
        } else {
            Others::default()
        });
        // Cancel-safe: looks at other leases hold nothing.
        return tokio::select! {
            result = in_scope(None, shared, &others, stop) => result,
            () = others.follow(&shared.client, &shared.namespace), if shared.is_elected => Ok(()),
        };
    }
    let others = Arc::new(Others::default());
    let each = namespaces
        .iter()
        .map(|namespace| in_scope(Some(namespace), shared, &others, stop));
    try_join_all(each).await.map(|_| ())
}

/// Waits for the lease of `namespace`, or of the whole cluster, and reconciles there until `stop`.
async fn in_scope(
    namespace: Option<&str>,
    shared: &Shared,
    others: &Arc<Others>,
    stop: &CancellationToken,
) -> Result<(), Lost> {
    let (place, name) = match namespace {
        Some(namespace) => (namespace, lease::NAMESPACE),
        None => (shared.namespace.as_str(), lease::CLUSTER),
    };
    let term = if shared.is_elected {
        Term::default()
    } else {
        Term::unlimited()
    };
    let candidate = Candidate {
        client: shared.client.clone(),
        namespace: place.to_owned(),
        name: name.to_owned(),
        identity: shared.identity.clone(),
        term: term.clone(),
        others: Arc::clone(others),
    };
    let (sender, mut leader) = watch::channel(!shared.is_elected);
    // The lease outlives the controller: it is given back when that has ended.
    let written = CancellationToken::new();
    let holder = async {
        if !shared.is_elected {
            written.cancelled().await;
            return Ok(());
        }
        candidate
            .hold(sender, &shared.vitals, written.clone())
            .await
    };
    let controller = async {
        // Cancel-safe: both only wait.
        let is_leader = tokio::select! {
            () = stop.cancelled() => false,
            led = leader.wait_for(|is_leader| *is_leader) => led.is_ok(),
        };
        if is_leader {
            shared.leader.send_replace(true);
            tracing::info!(lease = name, namespace = place, "leading");
            let scope = Scope::new(place, name, Arc::clone(others));
            control(namespace, shared, term, Arc::new(scope), stop).await;
        }
        written.cancel();
    };
    Box::pin(lead_while_held(holder, controller)).await
}

/// One controller, for one namespace or for all.
async fn control(
    namespace: Option<&str>,
    shared: &Shared,
    term: Term,
    scope: Arc<Scope>,
    stop: &CancellationToken,
) {
    let mirrors = Arc::new(Mirrors::default());
    shared.vitals.watching(namespace, Arc::clone(&mirrors));
    let triggers = Arc::new(Triggers::default());
    let context = Arc::new(Context {
        client: shared.client.clone(),
        mirrors: Arc::clone(&mirrors),
        defaults: shared.defaults.clone(),
        fleets: Fleets::new(fleet::Shared {
            client: shared.client.clone(),
            term,
            scope: Arc::clone(&scope),
            mirrors: Arc::clone(&mirrors),
            loads: Arc::clone(&shared.loads) as _,
            metrics: shared.metrics.clone(),
            triggers: Arc::clone(&triggers),
            started: shared.started,
        }),
        scope,
        rollouts: Rollouts::new(shared.max_rollouts),
        recorder: shared.recorder.clone(),
        metrics: shared.metrics.clone(),
        vitals: Arc::clone(&shared.vitals),
        started: shared.started,
        memories: Memories::default(),
        said: Said::default(),
    });
    let (vitals, place) = (Arc::clone(&shared.vitals), namespace.map(str::to_owned));
    let (store, touched) = objects(&shared.client, namespace, move |why| {
        vitals.set_trouble(place.as_deref(), why);
    });
    let related = Arc::clone(&triggers)
        .gathered()
        .map(|owner| ObjectRef::<Guarded>::new(&owner.name).within(&owner.namespace));
    let queue = stream::select(touched.boxed(), related.boxed())
        .take_until(stop.clone().cancelled_owned())
        .map(Ok::<_, std::convert::Infallible>);
    let rounds = applier(
        // A panic of one object's reconcile would end all others'.
        |object, context| reconcile(object, context).boxed(),
        |object, error, context| retry(&object, error, &context),
        Arc::clone(&context),
        store,
        queue,
        controller::Config::default().concurrency(CONCURRENCY),
    )
    .for_each(|result| {
        if let Err(controller::Error::ObjectNotFound(gone)) = result {
            // What changed last was what belonged to it.
            context.forget(&Owner {
                namespace: gone.namespace.clone().unwrap_or_default(),
                name: gone.name.clone(),
            });
        }
        futures::future::ready(())
    });
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP).await;
    };
    // Cancel-safe: whatever is left when rounds have ended, or should have, is dropped with the process.
    tokio::select! {
        () = rounds => {}
        () = follow_all(&mirrors, &shared.client, namespace, &triggers) => {}
        () = late => tracing::warn!("rounds did not end in time"),
    }
}
