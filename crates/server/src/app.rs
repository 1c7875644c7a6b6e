//! Checked settings → a running server. Every port is bound and every channel made here.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use telemetry::Meters;
use telemetry::admin::Pages;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::announce;
use crate::config::Config;
use crate::expectation;
use crate::fault::Fault;
use crate::http;
use crate::lifecycle::{self, Grace, Signals};
use crate::loading;
use crate::metrics::Metrics;
use crate::model_store;
use crate::names;
use crate::queue::policy::BatchLimits;
use crate::queue::{ModelState, Queue, Worker, WorkerSettings};
use crate::view::View;
use crate::wyoming_server::{AudioBudget, BindError, Doors, Listener, RESERVE, Service, Uri};

/// After the grace for utterances: for their connections to be told and closed.
const ABORT_GRACE: Duration = Duration::from_secs(2);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin address is taken or not ours.
    #[error("cannot listen on {address} for the admin pages; choose another with --admin, or off")]
    Admin {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address of the HTTP API is taken or not ours.
    #[error("cannot listen on {address} for the HTTP API; choose another with --http, or off")]
    Http {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no thread or no signal handler.
    #[error("the system refused what a server needs")]
    System(
        /// What it said.
        #[from]
        std::io::Error,
    ),
}

/// How the server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Asked to, and everything was finished.
    Drained,
    /// Asked twice, or the time was over, while an utterance had no answer.
    Cut,
    /// The model could not be loaded.
    NoModel(Arc<str>),
}

/// A server with its ports bound.
#[derive(Debug)]
pub struct App {
    config: Config,
    listeners: Vec<Listener>,
    admin: Option<TcpListener>,
    http: Option<(http::Door, Arc<http::Api>)>,
    service: Arc<Service>,
    view: Arc<View>,
    meters: Meters,
    worker: Worker,
    signals: Signals,
    /// Cancelled to stop accepting.
    accept: CancellationToken,
    /// Cancelled to read no names any more.
    names_end: CancellationToken,
}

impl App {
    /// Binds every address and starts loading the model. The caller, who made `meters`, shuts them down.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(config: Config, meters: Meters) -> Result<Self, StartError> {
        let signals = Signals::take()?;
        let doors = 1 + usize::from(config.http.is_some());
        lifecycle::allow_files(doors * (config.max_connections + RESERVE));
        let mut listeners = Vec::new();
        for uri in &config.uris {
            listeners.push(Listener::bind(uri).await?);
        }
        let admin = admin_listener(config.admin.as_deref()).await?;
        let http_door = http_door(&config).await?;
        let meter = meters.meter("wyoming-stt");
        let metrics = Metrics::new(&meter);
        let names_end = CancellationToken::new();
        let tasks = TaskTracker::new();
        let names = names::follow(config.names.clone(), &tasks, &names_end);
        Metrics::observe_names(&meter, names.clone());
        let queue = Queue::new(config.queue, metrics.clone());
        let languages = Arc::new(OnceLock::new());
        let tell = tell_languages(&languages);
        let (name, hub) = (config.model.model.clone(), config.model.hub.clone());
        let told = tokio::task::spawn_blocking(move || model_store::languages(&name, &hub));
        if let Ok(Some(found)) = told.await {
            tell(found);
        }
        let loader = loading::loader(&config, tell_languages(&languages));
        let worker = Worker::start(queue.clone(), worker_settings(&config), loader)?;
        let service = Arc::new(service(&config, languages, queue, &worker, metrics));
        tasks.spawn(
            names_end
                .clone()
                .run_until_cancelled_owned(expectation::follow(
                    Arc::clone(&service.expectation),
                    names.clone(),
                    worker.state(),
                )),
        );
        let http = http_door.map(|(door, settings)| {
            let blocklist = Arc::clone(&config.blocklist);
            let facts = http::Facts {
                wyoming: listeners.iter().map(Listener::uri).collect(),
                names: names.clone(),
                slots: config.max_batch,
            };
            let api = http::Api::new(settings, Arc::clone(&service), blocklist, facts);
            (door, Arc::new(api))
        });
        let view = Arc::new(View {
            service: Arc::clone(&service),
            draining: AtomicBool::new(false),
            slots: config.max_batch,
            revision: config.model.hub.revision.to_string(),
            names,
        });
        let report = {
            let view = Arc::clone(&view);
            move || view.load()
        };
        Metrics::observe(&meter, report);
        Ok(Self {
            config,
            listeners,
            admin,
            http,
            service,
            view,
            meters,
            worker,
            signals,
            accept: CancellationToken::new(),
            names_end,
        })
    }

    /// Where clients connect, with the ports that the system chose.
    pub fn uris(&self) -> Vec<Uri> {
        self.listeners.iter().map(Listener::uri).collect()
    }

    /// The addresses in one line: `wyoming tcp://127.0.0.1:10300, http http://127.0.0.1:8080, admin
    /// http://127.0.0.1:10390`.
    pub fn addresses(&self) -> String {
        let mut parts: Vec<String> = self
            .uris()
            .iter()
            .map(|uri| format!("wyoming {uri}"))
            .collect();
        let http = self.http.as_ref();
        if let Some(address) = http.and_then(|(door, _)| door.address().ok()) {
            parts.push(format!("http http://{address}"));
        }
        let admin = self
            .admin
            .as_ref()
            .and_then(|listener| listener.local_addr().ok());
        parts.push(admin.map_or_else(
            || "admin off".to_owned(),
            |address| format!("admin http://{address}"),
        ));
        parts.join(", ")
    }

    /// Serves until a signal, or until the model turns out not to load. `say` gets the line that
    /// tells that the server is ready.
    pub async fn run(mut self, say: impl Fn(&str)) -> Ended {
        let addresses = self.addresses();
        say(&format!("listening: {addresses}"));
        let connections = TaskTracker::new();
        let announcing = self.start_announcing();
        let doors = Doors::new(self.config.max_connections);
        let mut accepting = self.accept_all(&doors, &connections);
        let admin = self.start_admin();
        let http = self.start_http(&doors, &connections);
        let mut state = self.worker.state();
        // A pipe's end ends its server, once the model is there to answer what was asked.
        let ended = tokio::select! {
            reason = failed(&mut state) => Some(Ended::NoModel(reason)),
            () = ready(self.worker.state(), &self.service, &say, &addresses) => None,
            () = self.signals.next() => None,
            () = self.accept.cancelled() => None,
        };
        let drained = if ended.is_none() {
            self.drain(&doors, &connections).await
        } else {
            self.cut(&connections, &Fault::NotReady).await;
            false
        };
        // The listeners take their socket files along.
        while accepting.join_next().await.is_some() {}
        http.cancel();
        admin.cancel();
        self.names_end.cancel();
        if let Some(announcing) = announcing {
            // It ends with the accepting, and bounds its own goodbye.
            announcing.await.ok();
        }
        match ended {
            Some(ended) => ended,
            None if drained => self.end_worker().await,
            None => Ended::Cut,
        }
    }

    /// Waits for the device's thread, which has nothing to do any more: but a model that is still
    /// being loaded cannot be stopped, and is not worth waiting for.
    async fn end_worker(mut self) -> Ended {
        if matches!(*self.worker.state().borrow(), ModelState::Loading) {
            return Ended::Drained;
        }
        let worker = self.worker;
        let joined = tokio::task::spawn_blocking(move || worker.join());
        tokio::select! {
            joined = joined => if joined.is_ok() { Ended::Drained } else { Ended::Cut },
            // Nothing was asked of it that has no answer.
            () = self.signals.next() => Ended::Drained,
        }
    }

    fn accept_all(&mut self, doors: &Doors, connections: &TaskTracker) -> JoinSet<()> {
        let mut accepting = JoinSet::new();
        for listener in self.listeners.drain(..) {
            accepting.spawn(listener.run(
                Arc::clone(&self.service),
                doors.clone(),
                connections.clone(),
                self.accept.clone(),
            ));
        }
        accepting
    }

    /// Makes the server known on the local network from the time it is ready until it takes no more.
    fn start_announcing(&self) -> Option<JoinHandle<()>> {
        let settings = self.config.zeroconf.clone()?;
        let uris = self.uris();
        let stop = self.accept.clone();
        let mut state = self.worker.state();
        Some(tokio::spawn(async move {
            let ready = async {
                let is_ready = |state: &ModelState| matches!(state, ModelState::Ready(_));
                state.wait_for(is_ready).await.is_ok()
            };
            let is_ready = tokio::select! {
                () = stop.cancelled() => false,
                is_ready = ready => is_ready,
            };
            if is_ready {
                announce::run(settings, uris, stop).await;
            }
        }))
    }

    fn start_admin(&mut self) -> CancellationToken {
        let stop = CancellationToken::new();
        if let Some(listener) = self.admin.take() {
            let pages: Arc<dyn Pages> = Arc::<View>::clone(&self.view);
            let router = telemetry::admin::router(pages, self.meters.clone());
            let stopped = stop.clone();
            tokio::spawn(async move {
                if let Err(error) = telemetry::admin::serve(listener, router, stopped).await {
                    warn!(%error, "admin pages ended");
                }
            });
        }
        stop
    }

    /// Accepts HTTP clients until what it returns is cancelled: those that come while the server drains are told so.
    fn start_http(&mut self, doors: &Doors, connections: &TaskTracker) -> CancellationToken {
        let stop = CancellationToken::new();
        if let Some((door, api)) = self.http.take() {
            tokio::spawn(http::serve(
                door,
                api,
                self.config.max_connections,
                doors.clone(),
                connections.clone(),
                stop.clone(),
            ));
        }
        stop
    }

    /// Unready → no client comes any more → stop accepting → finish what has begun → close the queue. False when cut
    /// short.
    async fn drain(&mut self, doors: &Doors, connections: &TaskTracker) -> bool {
        let grace = Grace {
            notice: self.config.drain_notice,
            finish: self.config.drain_timeout,
        };
        info!(
            notice_s = grace.notice.as_secs(),
            finish_s = grace.finish.as_secs(),
            "draining"
        );
        self.view.draining.store(true, Ordering::Relaxed);
        connections.close();
        let closing = self.service.closing.clone();
        let accept = self.accept.clone();
        let orderly = async {
            tokio::select! {
                () = lifecycle::until_quiet(|| doors.knocked(), &grace) => accept.cancel(),
                () = accept.cancelled() => {}
            }
            closing.cancel();
            connections.wait().await;
        };
        let finished = tokio::select! {
            finished = tokio::time::timeout(grace.whole(), orderly) => finished.is_ok(),
            () = self.signals.next() => false,
        };
        // A client that is owed no words does not make the end a failure, whatever it does.
        if finished || self.service.unanswered.is_empty() {
            self.stop();
            self.service.queue.close(Fault::Draining);
            return true;
        }
        warn!(
            utterances = self.service.unanswered.len(),
            "not everything was finished"
        );
        self.cut(connections, &Fault::Draining).await;
        false
    }

    /// No connection goes on, or begins.
    fn stop(&self) {
        self.accept.cancel();
        self.service.closing.cancel();
        self.service.abort.cancel();
    }

    /// Ends everything now. Those who do not take their answer even so are left behind.
    async fn cut(&self, connections: &TaskTracker, fault: &Fault) {
        self.service.queue.abandon(fault);
        self.stop();
        connections.close();
        tokio::time::timeout(ABORT_GRACE, connections.wait())
            .await
            .ok();
    }
}

/// Tells that the model is there, then never ends.
async fn ready(
    mut state: watch::Receiver<ModelState>,
    service: &Service,
    say: &impl Fn(&str),
    addresses: &str,
) {
    let loaded = match state
        .wait_for(|state| matches!(state, ModelState::Ready(_)))
        .await
    {
        Ok(state) => match &*state {
            ModelState::Ready(loaded) => Arc::clone(loaded),
            _ => return std::future::pending().await,
        },
        Err(_worker_gone) => return std::future::pending().await,
    };
    service.metrics.model_loaded(loaded.took);
    info!(
        model = service.model,
        parameters = loaded.info.parameters,
        device = loaded.info.device,
        precision = loaded.info.precision,
        took_s = loaded.took.as_secs_f64(),
        "model loaded"
    );
    say(&format!("ready: {addresses}, model {}", service.model));
    std::future::pending::<()>().await;
}

/// Why the model cannot be loaded; never ends when it can.
async fn failed(state: &mut watch::Receiver<ModelState>) -> Arc<str> {
    match state
        .wait_for(|state| matches!(state, ModelState::Failed(_)))
        .await
    {
        Ok(state) => match &*state {
            ModelState::Failed(reason) => Arc::clone(reason),
            _ => std::future::pending().await,
        },
        Err(_worker_gone) => std::future::pending().await,
    }
}

/// The port of the admin pages, unless they are off.
async fn admin_listener(address: Option<&str>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let bound = telemetry::listen(address).await;
    let bound = bound.map_err(|source| StartError::Admin {
        address: address.to_owned(),
        source,
    })?;
    Ok(Some(bound))
}

/// What all connections share.
fn service(
    config: &Config,
    told_languages: Arc<OnceLock<Vec<String>>>,
    queue: Queue,
    worker: &Worker,
    metrics: Metrics,
) -> Service {
    Service {
        limits: config.limits,
        model: config.model.model.clone(),
        told_languages,
        languages: config.languages.clone(),
        options: config.options.clone(),
        expectation: Arc::default(),
        speculate_after: config.speculate_after,
        endpoint_after: config.endpoint_after,
        tells_words: config.tells_words,
        blocklist: Arc::clone(&config.blocklist),
        queue,
        state: worker.state(),
        metrics,
        open_streams: AtomicUsize::new(0),
        open_audio: Arc::new(AudioBudget::new(config.max_open_audio_s)),
        unanswered: TaskTracker::new(),
        closing: CancellationToken::new(),
        abort: CancellationToken::new(),
    }
}

/// The bound port of the HTTP API, if it is on.
async fn http_door(config: &Config) -> Result<Option<(http::Door, http::Settings)>, StartError> {
    let Some(settings) = &config.http else {
        return Ok(None);
    };
    let door = http::Door::bind(&settings.address).await;
    let door = door.map_err(|source| StartError::Http {
        address: settings.address.as_str().to_owned(),
        source,
    })?;
    Ok(door.map(|door| (door, settings.clone())))
}

fn worker_settings(config: &Config) -> WorkerSettings {
    WorkerSettings {
        batch: BatchLimits {
            jobs: config.max_batch,
            // Every Whisper hears 30 s at once.
            window_samples: 30 * audio::SAMPLE_RATE_HZ as usize,
        },
        beams: config.options.beam_size,
        blocklist: Arc::clone(&config.blocklist),
    }
}

/// Keeps the languages of the model as soon as its small files are there: clients may ask once.
fn tell_languages(told: &Arc<OnceLock<Vec<String>>>) -> impl FnOnce(Vec<String>) + Send + 'static {
    let told = Arc::clone(told);
    move |languages| {
        // What was told before stays: it is of the same files.
        told.get_or_init(|| languages);
    }
}
