//! Every reason that a condition can have. One that has no meaning here cannot be reported; `docs/reference/conditions.md`
//! is made of this table.

use std::fmt;

/// A condition of a `WyomingStt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sums up.
    Ready,
    /// A replica transcribes.
    Available,
    /// Replicas are being changed.
    Progressing,
    /// The spec can be acted on.
    SpecValid,
    /// A replica has the model.
    ModelReady,
    /// The number of replicas follows the queue.
    AutoscalingActive,
    /// The cluster has no room for all replicas.
    CapacityLimited,
    /// Some replicas do not do their part.
    Degraded,
}

impl Kind {
    /// All, in the order of a status.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Available,
        Self::Progressing,
        Self::SpecValid,
        Self::ModelReady,
        Self::AutoscalingActive,
        Self::CapacityLimited,
        Self::Degraded,
    ];

    /// As a status has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::SpecValid => "SpecValid",
            Self::ModelReady => "ModelReady",
            Self::AutoscalingActive => "AutoscalingActive",
            Self::CapacityLimited => "CapacityLimited",
            Self::Degraded => "Degraded",
        }
    }

    /// What `True` means, and what should be so.
    pub fn about(self) -> &'static str {
        match self {
            Self::Ready => {
                "`True`: the endpoint is as its spec says, and a replica transcribes. It takes the reason of the condition that keeps it from that."
            }
            Self::Available => "`True`: a replica transcribes.",
            Self::Progressing => {
                "`True`: replicas start or are replaced, or a rollout waits. `False` is the state of rest; with `StartupTimeout` it is a rollout that does not get on."
            }
            Self::SpecValid => {
                "`True`: the spec can be acted on; any reason but `Valid` is a warning then. `False`: nothing is applied, and what was applied last stays."
            }
            Self::ModelReady => "`True`: a replica has loaded the model.",
            Self::AutoscalingActive => "`True`: the number of replicas follows the queue.",
            Self::CapacityLimited => {
                "`True`: the cluster has no room for all replicas that are ordered. `False` is good."
            }
            Self::Degraded => {
                "`True`: the endpoint may serve, but some of its replicas do not. `False` is good."
            }
        }
    }
}

macro_rules! reasons {
    ($($reason:ident in $($kind:ident)+: $meaning:literal, $advice:literal;)+) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = $meaning] $reason,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$reason),+];

            /// As a condition has it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$reason => stringify!($reason),)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$reason => $meaning,)+ }
            }

            /// What to do; empty where there is nothing to do. It stands behind messages of the cluster as well.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$reason => $advice,)+ }
            }

            /// Conditions that can have it.
            pub fn kinds(self) -> &'static [Kind] {
                match self { $(Self::$reason => &[$(Kind::$kind),+],)+ }
            }
        }
    };
}

reasons! {
    Reconciled in Ready:
        "The endpoint is as its spec says.", "";
    Paused in Ready AutoscalingActive:
        "`spec.managementState` is `Paused`: the operator reports and changes nothing.",
        "set spec.managementState to Managed to go on";
    ClusterNotReadable in Ready:
        "The operator cannot watch a kind of object, so nothing can be decided.",
        "give the operator's role get, list and watch for the kind that the message names";

    Valid in SpecValid:
        "The spec can be acted on.", "";
    Incomplete in SpecValid Ready:
        "The object has no name or uid: it was not read from a cluster.",
        "create it with kubectl or the API";
    ModelUnknown in SpecValid Ready:
        "`model.name` is no size of Whisper and no hub id.",
        "write a size, OWNER/NAME of the hub, or give model.source";
    NamesInvalid in SpecValid Ready:
        "The address of the Home Assistant cannot be.",
        "write names.homeAssistant.url as a browser has it";
    ResourcesInvalid in SpecValid Ready:
        "`resources` names the GPU that `device.gpu` sets.",
        "remove it from resources";
    PodTemplateInvalid in SpecValid Ready:
        "`podTemplate` is not understood, or sets what the operator does not lend.",
        "remove the field that the message names";
    HostPathNotAllowed in SpecValid Ready:
        "A folder of the node is asked for, and the operator was started without `--allow-host-path`.",
        "choose another cache, or ask the cluster's administrators for the flag";
    ScaleToZeroUnsupported in SpecValid Ready:
        "`autoscaling.minReplicas` is 0.",
        "set it to 1 or more; to stop an endpoint, remove autoscaling and set replicas to 0";
    ScheduleInvalid in SpecValid Ready:
        "A schedule has a time or a time zone that cannot be.",
        "correct the entry of autoscaling.schedules that the message names";
    ClaimMissing in SpecValid Ready:
        "A PersistentVolumeClaim that the spec names does not exist.",
        "create it in the same namespace, or name another";
    VolumeNotShared in SpecValid Ready:
        "Several replicas are to share a volume that one pod can mount (`ReadWriteOncePod`).",
        "use ReadWriteMany or emptyDir, or allow one replica only";
    VolumeReadOnly in SpecValid Ready:
        "Models are to be downloaded into a volume that can only be read.",
        "use ReadWriteMany, or name the volume in model.source.persistentVolumeClaim";
    VolumeOnOneNode in SpecValid:
        "A warning: a volume of one node (`ReadWriteOnce`) holds all replicas there.",
        "use ReadWriteMany or emptyDir to spread them";
    QueueTimeoutTooLong in SpecValid:
        "A warning: answers may come after Home Assistant has given up.",
        "set capacity.queueTimeoutSeconds to 290 or less";
    HttpWithoutKeys in SpecValid:
        "A warning: clients outside of the cluster can use the HTTP API without a key.",
        "give http.keysSecretRef, or name clients in networkPolicy.from";

    NameTaken in Ready:
        "A child's name is taken by an object of another owner.",
        "rename one of them";
    OperatorNotPermitted in Ready:
        "The operator's role does not let it write a child.",
        "install the chart's roles, or add the verb that the message names";
    ApplyRefused in Ready:
        "The API server or a policy refuses a child.",
        "change what the message names";
    VolumeRefused in Ready:
        "The cluster refuses the PersistentVolumeClaim; all else goes on with the volume as it is.",
        "use a storage class that lets volumes grow, or delete the claim if its models may be downloaded again";
    ScaleRefused in Ready:
        "The cluster refuses another number of replicas.",
        "let the operator patch deployments, or change what refuses it";
    ImageVolumeUnsupported in Ready:
        "The cluster does not know image volumes (Kubernetes 1.35, or the feature gate ImageVolume).",
        "use model.source.persistentVolumeClaim";
    ResourceClaimsUnsupported in Ready:
        "The cluster does not know dynamic resource allocation (Kubernetes 1.34).",
        "use device.gpu.resourceName and count";

    ReplicasReady in Available:
        "A replica transcribes.", "";
    Starting in Available Ready:
        "No replica is ready yet, and nothing is known to keep them.", "";
    NoReplicas in Available Ready:
        "`spec.replicas` is 0.",
        "set it to 1 or more to serve";
    PodsUnschedulable in Available Ready Progressing CapacityLimited:
        "Pods fit on no node.",
        "add nodes, or change resources, device.gpu, nodeSelector or tolerations";
    QuotaExceeded in Available Ready CapacityLimited:
        "A quota of the namespace refuses pods or children.",
        "raise the namespace's quota, or lower resources or replicas";
    PodSecurityViolated in Available Ready CapacityLimited:
        "The namespace's Pod Security level refuses the pods.",
        "change podTemplate or the cache, or label the namespace with a level that allows it";
    PodsRefused in Available Ready CapacityLimited:
        "The cluster refuses pods for another reason.",
        "change what the message names";
    ImagePullFailed in Available Ready Progressing:
        "The node cannot fetch the image.",
        "check spec.image and imagePullSecrets";
    ContainerFailed in Available Ready Progressing:
        "The container cannot be made.",
        "check the secrets and volumes that the spec names";
    SettingsRefused in Available Ready Progressing:
        "The server does not take a setting (exit code 64).",
        "change the field that sets this";
    OutOfMemory in Available Ready Progressing:
        "The server was killed because it exceeded its memory limit.",
        "raise resources.limits.memory, or choose a smaller model";
    Killed in Available Ready Progressing:
        "The server was killed (exit code 137).",
        "if it was still starting, raise lifecycle.startupTimeoutSeconds; else look at the pod's events";
    CrashLooping in Available Ready Progressing:
        "The server ends again and again.",
        "look at the pod's log";
    PodsEvicted in Available Ready Progressing:
        "The node evicted a pod.",
        "give the cache more room (cache.emptyDir.sizeLimit), or the replicas' requests what they use";
    ModelDownloadFailed in Available Ready Progressing ModelReady:
        "A replica cannot download its model; the message has the server's words.",
        "check the model's name, the token, and that pods reach the hub";
    ModelLoadFailed in Available Ready Progressing ModelReady:
        "A replica cannot read its model.",
        "check model.source and its path";

    Settled in Progressing:
        "Nothing is being changed.", "";
    ReplicasStarting in Progressing:
        "Replicas start.", "";
    RolloutInProgress in Progressing:
        "Replicas of an older spec are being replaced.", "";
    RolloutWaits in Progressing:
        "A changed pod template waits until fewer other endpoints replace their replicas.",
        "nothing, or raise the operator's --max-rollouts";
    RolloutWaitsForIdle in Progressing:
        "A changed pod template waits for a moment without utterances, until the time in the message at the latest.",
        "nothing, or lower rollout.waitForIdleSeconds";
    StartupTimeout in Progressing:
        "Replicas of the present spec did not become ready in time.",
        "raise lifecycle.startupTimeoutSeconds if the model needs longer, else look at the pods";

    Loaded in ModelReady:
        "A replica has loaded the model.", "";
    NotLoaded in ModelReady:
        "No replica has loaded the model yet.", "";

    Active in AutoscalingActive:
        "The number of replicas follows the queue.", "";
    NotConfigured in AutoscalingActive:
        "`spec.autoscaling` is not set.", "";
    NotDecided in AutoscalingActive:
        "The autoscaler has not decided yet.", "";
    MetricsSilent in AutoscalingActive:
        "No ready replica tells its load: more are ordered, up to `maxReplicas`.",
        "let the operator reach the replicas' admin port";
    MetricsStale in AutoscalingActive:
        "Some ready replicas do not tell their load: it is estimated, and no replica is taken away.",
        "let the operator reach the replicas' admin port";
    BeyondHelp in AutoscalingActive:
        "What waits cannot be answered in time by any number of replicas, because it cannot move to others.",
        "keep room for it with autoscaling.spare or autoscaling.schedules";

    Fits in CapacityLimited:
        "Every replica has a node.", "";

    Healthy in Degraded:
        "Every replica does its part.", "";
    RolloutStuck in Degraded:
        "A rollout does not get on: replicas of the present spec do not become ready.",
        "raise lifecycle.startupTimeoutSeconds if the model needs longer, else look at the pods";
    ReplicasSick in Degraded:
        "Replicas take work and do not do it, or far slower than the others; they are replaced.",
        "look at their logs and nodes";
    ReplicasBroken in Degraded:
        "Replicas do not start.",
        "see the reason of Progressing or Available, and the message";
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
impl Reason {
    /// By its name.
    pub(crate) fn named(name: &str) -> Self {
        let found = Self::ALL.iter().find(|reason| reason.name() == name);
        *found.unwrap_or_else(|| panic!("{name} is no reason"))
    }
}

/// Tests name reasons as users read them.
#[cfg(test)]
impl PartialEq<&str> for Reason {
    fn eq(&self, name: &&str) -> bool {
        self.name() == *name
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What the files of a folder and of those below it say.
    fn sources(folder: &Path) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                text += &sources(&path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                text += &std::fs::read_to_string(&path).unwrap();
            }
        }
        text
    }

    #[test]
    fn every_reason_that_is_documented_is_reported_somewhere() {
        let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/controller"));
        let words: std::collections::HashSet<&str> = sources
            .split("Reason::")
            .skip(1)
            .filter_map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next())
            .collect();
        for reason in Reason::ALL {
            assert!(
                words.contains(reason.name()),
                "{reason} is nowhere reported"
            );
        }
    }
}
