//! The life of the operator: telemetry, lease, controllers, stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Controller};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use telemetry::admin::{self, Pages};
use telemetry::load::LoadReport;
use telemetry::{Meters, TelemetryError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::WyomingStt;
use crate::cli::RunArgs;
use crate::controller::names::MANAGER;
use crate::controller::observe::HttpLoads;
use crate::controller::reconcile::{Context, reconcile, retry};
use crate::controller::validate::Defaults;
use crate::lease::{Candidate, Lost};
use crate::metrics::Metrics;

/// Objects that are reconciled at once.
const CONCURRENCY: u16 = 8;

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
    #[error("cannot find the API server")]
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
    #[error("another operator leads now")]
    Lost {
        /// Which lease.
        source: Lost,
    },
}

struct Admin {
    leader: watch::Receiver<bool>,
}

impl Pages for Admin {
    fn health(&self) -> Result<(), String> {
        Ok(())
    }

    /// A process that waits for the lease is ready to take over, so that a rollout can go on.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn load(&self) -> LoadReport {
        LoadReport {
            ready: *self.leader.borrow(),
            ..LoadReport::default()
        }
    }

    fn info(&self) -> Option<serde_json::Value> {
        None
    }
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
    let meters = Meters::new(MANAGER, "stt_operator", args.otlp_endpoint.as_deref())
        .map_err(|source| RunError::Telemetry { source })?;
    let client = Client::try_default()
        .await
        .map_err(|source| RunError::Client { source })?;
    let loads = HttpLoads::new().map_err(|source| RunError::Loads { source })?;
    let (sender, leader) = watch::channel(false);
    let pages = serve_pages(&args.admin, leader.clone(), &meters, stop.clone()).await?;

    let context = Arc::new(Context {
        client: client.clone(),
        defaults: Defaults {
            server_image: args.server_image,
            server_image_cuda: args.server_image_cuda,
            allow_host_path: args.allow_host_path,
        },
        loads: Arc::new(loads),
        recorder: Recorder::new(
            client.clone(),
            Reporter {
                controller: format!("wyoming-stt.dev/{MANAGER}"),
                instance: Some(args.identity.clone()),
            },
        ),
        metrics: Metrics::new(&meters),
        started: Instant::now(),
        memory: Mutex::new(HashMap::new()),
    });
    let candidate = Candidate {
        client,
        namespace: args.namespace,
        name: MANAGER.to_owned(),
        identity: args.identity,
    };
    // The lease outlives the controllers: it is given back when they have ended.
    let written = CancellationToken::new();
    let holder = async {
        if args.no_leader_election {
            sender.send_replace(true);
            written.cancelled().await;
            return Ok(());
        }
        let held = candidate.hold(sender, written.clone()).await;
        stop.cancel();
        held
    };
    let controllers = async {
        lead(args.watch_namespaces, context, leader, stop.clone()).await;
        written.cancel();
    };
    let (held, ()) = tokio::join!(holder, controllers);
    pages.await.ok();
    held.map_err(|source| RunError::Lost { source })
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
    leader: watch::Receiver<bool>,
    meters: &Meters,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<std::io::Result<()>>, RunError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen {
            address: address.to_owned(),
            source,
        })?;
    let router = admin::router(Arc::new(Admin { leader }), meters.clone());
    Ok(tokio::spawn(admin::serve(listener, router, stop)))
}

/// Waits for the lease, then reconciles until `stop`.
async fn lead(
    namespaces: Vec<String>,
    context: Arc<Context>,
    mut leader: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    // Cancel-safe: both only wait.
    tokio::select! {
        () = stop.cancelled() => return,
        _ = leader.wait_for(|is_leader| *is_leader) => {}
    }
    tracing::info!("leading");
    if namespaces.is_empty() {
        control(None, context, stop).await;
    } else {
        let each = namespaces
            .into_iter()
            .map(|namespace| control(Some(namespace), Arc::clone(&context), stop.clone()));
        join_all(each).await;
    }
}

/// One controller, for one namespace or for all.
async fn control(namespace: Option<String>, context: Arc<Context>, stop: CancellationToken) {
    let client = context.client.clone();
    let namespace = namespace.as_deref();
    let children = watcher::Config::default()
        .labels(&format!("app.kubernetes.io/managed-by={MANAGER}"))
        .any_semantic();
    let objects: Api<DeserializeGuard<WyomingStt>> = api(&client, namespace);
    Controller::new(objects, watcher::Config::default().any_semantic())
        .owns(api::<Deployment>(&client, namespace), children.clone())
        .owns(api::<Service>(&client, namespace), children.clone())
        .owns(api::<ServiceAccount>(&client, namespace), children.clone())
        .owns(
            api::<PersistentVolumeClaim>(&client, namespace),
            children.clone(),
        )
        .owns(api::<NetworkPolicy>(&client, namespace), children.clone())
        .owns(api::<PodDisruptionBudget>(&client, namespace), children)
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            // A panic of one object's reconcile would end all others'.
            |object, context| reconcile(object, context).boxed(),
            |object, error, context| retry(&object, error, &context),
            context,
        )
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "controller");
            }
        })
        .await;
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
