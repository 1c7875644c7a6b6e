//! The server's container: settings, probes, stop, rights.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, Lifecycle,
    LifecycleHandler, Probe, ResourceClaim, SeccompProfile, SecretKeySelector, SecurityContext,
    SleepAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::http::{self, HTTP};
use super::{names, storage};
use crate::api::{AudioContext, DeviceType, HuggingFace, LogFormat, LogLevel, PullPolicy, Task};
use crate::controller::names::{HTTP_PORT, SERVER, WYOMING_PORT};
use crate::controller::validate::{ModelFiles, ValidStt};

/// Seconds that a stopping replica is not told of it, while nodes learn that it stops.
const SLEEP_S: i64 = 7;
/// Seconds without a new connection after which a replica that was told takes no more. A busy node may be late by more
/// than any fixed time: after five seconds one utterance in a hundred was refused there, after ten one in two hundred.
const QUIET_S: i64 = 3;
/// Seconds between the end of the drain and the end of the grace period, to exit in.
const EXIT_S: i64 = 5;
/// Seconds between two tries of a replica that starts.
const STARTUP_PERIOD_S: i32 = 5;
/// Name of a GPU claim within the pod.
pub(super) const GPU_CLAIM: &str = "gpu";

pub(super) fn build(stt: &ValidStt) -> Container {
    let mut resources = stt.resources.clone();
    let claim = stt
        .spec
        .device
        .gpu
        .as_ref()
        .and_then(|gpu| gpu.claim.as_ref());
    resources.claims = claim.map(|claim| {
        vec![ResourceClaim {
            name: GPU_CLAIM.to_owned(),
            request: claim.request.clone(),
        }]
    });
    let pull_policy = stt
        .spec
        .image
        .as_ref()
        .map(|image| image.pull_policy)
        .unwrap_or_default();
    Container {
        name: SERVER.to_owned(),
        image: Some(stt.image.clone()),
        image_pull_policy: Some(pull_policy_name(pull_policy).to_owned()),
        env: Some(settings(stt)),
        ports: Some(ports(stt)),
        resources: Some(resources),
        startup_probe: Some(Probe {
            period_seconds: Some(STARTUP_PERIOD_S),
            failure_threshold: Some(
                (stt.spec.lifecycle.startup_timeout_seconds / STARTUP_PERIOD_S).max(1),
            ),
            ..probe("/ready")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(5),
            // One answer may be late on a busy node, and the only replica would be cut off for it.
            failure_threshold: Some(2),
            ..probe("/ready")
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            failure_threshold: Some(3),
            ..probe("/health")
        }),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: SLEEP_S }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        // Why the server could not start is told in a condition.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: None,
            }),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            seccomp_profile: Some(seccomp()),
            ..SecurityContext::default()
        }),
        volume_mounts: storage::mounts(stt),
        ..Container::default()
    }
}

pub(super) fn seccomp() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        localhost_profile: None,
    }
}

pub(super) fn pull_policy_name(policy: PullPolicy) -> &'static str {
    match policy {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    }
}

fn ports(stt: &ValidStt) -> Vec<ContainerPort> {
    let mut ports = vec![
        port("wyoming", WYOMING_PORT),
        port("admin", stt.spec.telemetry.admin_port),
    ];
    ports.extend(stt.spec.http.as_ref().map(|_| port(HTTP, HTTP_PORT)));
    ports
}

fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("admin".to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

/// The server's settings, in the order of its help.
fn settings(stt: &ValidStt) -> Vec<EnvVar> {
    let spec = &stt.spec;
    let mut env = vec![
        var("STT_URI", format!("tcp://*:{WYOMING_PORT}")),
        var("STT_ADMIN", format!("*:{}", spec.telemetry.admin_port)),
    ];
    env.extend(http::settings(stt));
    env.extend(model(stt));
    env.push(var(
        "STT_DEVICE",
        match spec.device.type_ {
            DeviceType::Cpu => "cpu",
            DeviceType::Cuda => "cuda",
        },
    ));
    env.extend(
        spec.device
            .cpu_threads
            .map(|threads| var("STT_CPU_THREADS", threads.to_string())),
    );
    env.push(var("STT_LANGUAGE", spec.language.default.as_str()));
    env.extend(
        spec.language
            .forced
            .as_deref()
            .map(|code| var("STT_FORCE_LANGUAGE", code)),
    );
    env.extend(
        spec.language
            .allowed
            .as_ref()
            .map(|codes| var("STT_ALLOWED_LANGUAGES", codes.join(","))),
    );
    env.extend([
        var(
            "STT_TASK",
            match spec.task {
                Task::Transcribe => "transcribe",
                Task::Translate => "translate",
            },
        ),
        var("STT_BEAM_SIZE", spec.decoding.beam_size.to_string()),
        var(
            "STT_WINDOW",
            match spec.decoding.audio_context {
                AudioContext::Auto => "auto",
                AudioContext::Exact => "exact",
                AudioContext::Dynamic => "dynamic",
            },
        ),
    ]);
    env.extend(
        spec.decoding
            .initial_prompt
            .as_deref()
            .map(|prompt| var("STT_INITIAL_PROMPT", prompt)),
    );
    env.extend(names::settings(stt));
    env.extend([
        var("STT_MAX_BATCH", stt.slots.to_string()),
        var("STT_MAX_WAITING", spec.capacity.max_queue.to_string()),
        var(
            "STT_REQUEST_DEADLINE",
            spec.capacity.queue_timeout_seconds.to_string(),
        ),
        var("STT_DRAIN_NOTICE", QUIET_S.to_string()),
        var("STT_DRAIN_TIMEOUT", drain_s(stt).to_string()),
        var(
            "STT_LOG",
            match spec.telemetry.log_level {
                LogLevel::Error => "error",
                LogLevel::Warn => "warn",
                LogLevel::Info => "info",
                LogLevel::Debug => "debug",
            },
        ),
        var(
            "STT_LOG_FORMAT",
            match spec.telemetry.log_format {
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            },
        ),
    ]);
    env.extend(
        spec.telemetry
            .otlp_endpoint
            .as_deref()
            .map(|endpoint| var("STT_OTLP_ENDPOINT", endpoint)),
    );
    env
}

/// Seconds that open utterances have: the grace period begins before the sleep.
fn drain_s(stt: &ValidStt) -> i64 {
    let grace = i64::from(stt.spec.lifecycle.termination_grace_period_seconds);
    (grace - SLEEP_S - QUIET_S - EXIT_S).max(1)
}

fn model(stt: &ValidStt) -> Vec<EnvVar> {
    match &stt.model {
        ModelFiles::BuiltIn => vec![var("STT_MODEL", "demo"), var("STT_OFFLINE", "true")],
        ModelFiles::Mounted { .. } => vec![
            var("STT_MODEL", storage::model_folder(stt)),
            var("STT_OFFLINE", "true"),
        ],
        ModelFiles::Hub { repo, settings } => {
            let mut env = vec![
                var("STT_MODEL", repo.as_str()),
                var("STT_REVISION", settings.revision.as_str()),
                var("STT_DOWNLOAD_DIR", storage::DOWNLOADS),
            ];
            env.extend(
                settings
                    .endpoint
                    .as_deref()
                    .map(|endpoint| var("HF_ENDPOINT", endpoint)),
            );
            env.extend(token(settings));
            env
        }
    }
}

fn token(settings: &HuggingFace) -> Option<EnvVar> {
    let secret = settings.token_secret_ref.as_ref()?;
    Some(EnvVar {
        name: "HF_TOKEN".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.name.clone(),
                key: secret.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    })
}

pub(super) fn var(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        value_from: None,
    }
}
