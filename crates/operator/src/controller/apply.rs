//! Makes the cluster have what was built: writes what differs, deletes what should not be there.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::build::Resources;
use super::difference::missing;
use super::idle::Wait;
use super::kept::Child as Found;
use super::mirrors::{Mirrored, Mirrors};
use super::names::{MANAGER, Names};
use super::rollouts::Rollouts;
use crate::causes::with_causes;
use crate::metrics::Metrics;

/// What was applied last, so that a field that is no longer wanted counts as a difference.
const APPLIED: &str = "wyoming-stt.dev/applied";

/// The same of the pod template: another one is a rollout.
const TEMPLATE: &str = "wyoming-stt.dev/template";

/// Why the cluster does not have what was built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A child's name is taken by an object of another owner.
    #[error("{kind} {name} exists and belongs to another owner: rename one of them")]
    Foreign {
        /// Kind of the child.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server will not have it.
    #[error("the cluster refuses the {kind}: {message}")]
    Refused {
        /// Kind of the child.
        kind: String,
        /// What the API server said.
        message: String,
    },
    /// The operator's role does not allow it.
    #[error("the operator may not {verb} the {kind}: {message}")]
    NotPermitted {
        /// What was tried.
        verb: &'static str,
        /// Kind of the child.
        kind: String,
        /// What the API server said.
        message: String,
    },
    /// Another pod template may not be written yet.
    #[error("a rollout waits")]
    Waits {
        /// For what.
        wait: Wait,
    },
    /// The API server could not be asked.
    #[error("cannot {verb} the {kind}")]
    Request {
        /// What was tried.
        verb: &'static str,
        /// Kind of the child.
        kind: String,
        /// What went wrong.
        source: kube::Error,
    },
}

/// Fields that the cluster did not take over from the last write, by kind: webhooks change some, and an API
/// server drops what it does not know. They are not fought over.
pub type Unkept = BTreeMap<String, Refusal>;

/// Of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Mark of what was written.
    mark: String,
    /// Paths of what did not come back.
    pub fields: Vec<String>,
}

/// Where things are written, and for which object.
#[derive(Debug)]
pub struct Target<'a> {
    /// What is there.
    pub mirrors: &'a Mirrors,
    /// Writes are counted.
    pub metrics: &'a Metrics,
    /// Names of what belongs to the object.
    pub names: &'a Names,
    /// Of the object.
    pub uid: &'a str,
    /// Asked before another pod template is written.
    pub rollouts: &'a Rollouts,
    /// What keeps one from being written, whatever these say.
    pub wait: Option<&'a Wait>,
}

/// Writes in the order in which things need each other, the replicas last; one child that cannot be settled does not
/// hold back the others. The mirrors have what was written when it returns.
///
/// # Errors
/// Every child that could not be settled.
#[tracing::instrument(name = "apply", skip_all)]
pub async fn apply(
    client: &Client,
    target: &Target<'_>,
    built: Resources,
    unkept: &mut Unkept,
) -> Result<(), Vec<ApplyError>> {
    // No `..`: a new kind must be settled as well.
    let Resources {
        service_account,
        claim,
        network_policy,
        service,
        disruption_budget,
        deployment,
    } = built;
    let mut to = Settler {
        client,
        target,
        unkept,
    };
    // A Deployment is large, and so is what handles it.
    let results = [
        to.settle(service_account).await,
        to.settle(claim).await,
        to.settle(network_policy).await,
        to.settle(Some(service)).await,
        to.settle(Some(disruption_budget)).await,
        Box::pin(to.settle(Some(deployment))).await,
    ];
    let errors: Vec<ApplyError> = results.into_iter().filter_map(Result::err).collect();
    for error in &errors {
        tracing::debug!(error = with_causes(error), "child not applied");
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

struct Settler<'a> {
    client: &'a Client,
    target: &'a Target<'a>,
    unkept: &'a mut Unkept,
}

/// Kinds that children have.
trait Child:
    Mirrored
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Child for K where
    K: Mirrored
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

impl Settler<'_> {
    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.target.names.namespace)
    }

    async fn settle<K: Child>(&mut self, wanted: Option<K>) -> Result<(), ApplyError> {
        let names = self.target.names;
        let known = K::mirror(self.target.mirrors).get(&names.owner(), &names.name);
        match (known, wanted) {
            (Some(found), Some(wanted)) => self.update(&found, &wanted).await,
            (None, Some(wanted)) => self.create(&wanted).await,
            (Some(found), None) if is_ours(&found, self.target) => self.delete::<K>(&found).await,
            (_, None) => Ok(()),
        }
    }

    /// The mirror has only what bears our labels, and an applied patch would take over what does not.
    async fn create<K: Child>(&mut self, wanted: &K) -> Result<(), ApplyError> {
        let found = self.api::<K>().get_opt(&self.target.names.name).await;
        match found.map_err(|source| failed::<K>("read", source))? {
            Some(found) => match found.keep() {
                Some((.., found)) => self.update(&found, wanted).await,
                None => Ok(()),
            },
            None => self.write::<K>(marked(wanted)).await,
        }
    }

    async fn update<K: Child>(&mut self, found: &Found, wanted: &K) -> Result<(), ApplyError> {
        if !is_ours(found, self.target) {
            return Err(ApplyError::Foreign {
                kind: K::kind(&()).into_owned(),
                name: self.target.names.name.clone(),
            });
        }
        // It will be gone in a moment, and made anew when it is.
        if found.is_leaving {
            return Ok(());
        }
        let wanted = marked(wanted);
        let lacking = missing(&found.value(), &wanted);
        let is_known = self
            .unkept
            .get(&*K::kind(&()))
            .is_some_and(|refusal| refusal.covers(&wanted, &lacking));
        if lacking.is_empty() || is_known {
            return Ok(());
        }
        if is_rollout(found, &wanted)
            && let Err(waits) = self.may_roll_out()
        {
            self.scale::<K>(found, &wanted).await?;
            return Err(waits);
        }
        tracing::debug!(kind = %K::kind(&()), ?lacking, "child differs");
        self.write::<K>(wanted).await
    }

    /// Whether another pod template may be written now. What else it waits for comes first: a rollout that may begin
    /// counts among those that go on.
    fn may_roll_out(&self) -> Result<(), ApplyError> {
        if let Some(wait) = self.target.wait {
            return Err(ApplyError::Waits { wait: wait.clone() });
        }
        let owner = self.target.names.owner();
        if self.target.rollouts.may_begin(&owner, self.target.mirrors) {
            Ok(())
        } else {
            let wait = Wait::Others;
            Err(ApplyError::Waits { wait })
        }
    }

    /// Writes the number of replicas of `wanted` alone: a person, or a HorizontalPodAutoscaler, does not wait with the
    /// template.
    async fn scale<K: Child>(&self, found: &Found, wanted: &Value) -> Result<(), ApplyError> {
        let replicas = &wanted["spec"]["replicas"];
        if replicas.is_null() || *replicas == found.value()["spec"]["replicas"] {
            return Ok(());
        }
        let names = self.target.names;
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = serde_json::json!({
            "metadata": {"uid": found.uid},
            "spec": {"replicas": replicas},
        });
        let written: K = self
            .api()
            .patch(&names.name, &params, &Patch::Merge(patch))
            .await
            .map_err(|source| failed::<K>("scale", source))?;
        let kind = K::kind(&());
        self.target.metrics.wrote(&kind);
        tracing::info!(%kind, name = names.name, namespace = names.namespace, %replicas, "replicas written, a rollout waits");
        K::mirror(self.target.mirrors).put(written);
        Ok(())
    }

    async fn write<K: Child>(&mut self, wanted: Value) -> Result<(), ApplyError> {
        let names = self.target.names;
        let params = PatchParams::apply(MANAGER).force();
        let written: K = self
            .api()
            .patch(&names.name, &params, &Patch::Apply(&wanted))
            .await
            .map_err(|source| failed::<K>("write", source))?;
        let kind = K::kind(&());
        self.target.metrics.wrote(&kind);
        tracing::info!(%kind, name = names.name, namespace = names.namespace, "child written");
        let fields = missing(&serde_json::json!(&written), &wanted);
        K::mirror(self.target.mirrors).put(written);
        if fields.is_empty() {
            self.unkept.remove(&*kind);
        } else {
            tracing::warn!(%kind, name = names.name, namespace = names.namespace, ?fields, "cluster does not keep what was written");
            let mark = mark_of(&wanted).to_owned();
            self.unkept
                .insert(kind.into_owned(), Refusal { mark, fields });
        }
        Ok(())
    }

    async fn delete<K: Child>(&self, found: &Found) -> Result<(), ApplyError> {
        // A volume waits for its last pod.
        if found.is_leaving {
            return Ok(());
        }
        let names = self.target.names;
        let params = DeleteParams {
            // Not one that came in its place meanwhile.
            preconditions: Some(Preconditions {
                uid: found.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let mirror = K::mirror(self.target.mirrors);
        match self.api::<K>().delete(&names.name, &params).await {
            Ok(answer) => match answer.left() {
                Some(leaving) => mirror.put(leaving),
                None => mirror.remove(&names.owner(), &names.name),
            },
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                mirror.remove(&names.owner(), &names.name);
            }
            Err(source) => return Err(failed::<K>("delete", source)),
        }
        let kind = K::kind(&());
        self.target.metrics.wrote(&kind);
        tracing::info!(%kind, name = names.name, namespace = names.namespace, "child deleted");
        Ok(())
    }
}

impl Refusal {
    /// Whether `lacking` is what did not come back when this was written.
    fn covers(&self, wanted: &Value, lacking: &[String]) -> bool {
        self.mark == mark_of(wanted) && lacking.iter().all(|field| self.fields.contains(field))
    }
}

fn failed<K: Child>(verb: &'static str, source: kube::Error) -> ApplyError {
    let kind = K::kind(&()).into_owned();
    match source {
        // Quotas and admission say why; a role says "cannot".
        kube::Error::Api(status)
            if status.is_forbidden() && status.message.contains(" cannot ") =>
        {
            ApplyError::NotPermitted {
                verb,
                kind,
                message: status.message.clone(),
            }
        }
        kube::Error::Api(status) if status.is_invalid() || status.is_forbidden() => {
            ApplyError::Refused {
                kind,
                message: status.message.clone(),
            }
        }
        source => ApplyError::Request { verb, kind, source },
    }
}

/// Whether `found` belongs to the object: by its owner, or, where it has none, by its labels, as when the object
/// was deleted without its children and is there again.
fn is_ours(found: &Found, target: &Target<'_>) -> bool {
    match &found.controller {
        Some(uid) => uid == target.uid,
        None => found.is_labelled,
    }
}

/// `wanted` as JSON, with a mark of all that it says.
fn marked<K: Child>(wanted: &K) -> Value {
    let mut value = serde_json::json!(wanted);
    let mark = format!("{:016x}", hash(&value.to_string()));
    value["metadata"]["annotations"][APPLIED] = Value::String(mark);
    if let Some(template) = value.pointer("/spec/template") {
        let mark = format!("{:016x}", hash(&template.to_string()));
        value["metadata"]["annotations"][TEMPLATE] = Value::String(mark);
    }
    value
}

/// Whether `wanted` has another pod template than `found`, and both have replicas.
fn is_rollout(found: &Found, wanted: &Value) -> bool {
    let template = |value: &Value| value["metadata"]["annotations"][TEMPLATE].clone();
    let (wanted_mark, value) = (template(wanted), found.value());
    let has_none = |value: &Value| value["spec"]["replicas"] == 0;
    if wanted_mark.is_null() || has_none(&value) || has_none(wanted) {
        return false;
    }
    match template(&value) {
        // An older operator wrote it.
        Value::Null => {
            let now = value.pointer("/spec/template").unwrap_or(&Value::Null);
            let wanted = wanted.pointer("/spec/template").unwrap_or(&Value::Null);
            !missing(now, wanted).is_empty()
        }
        mark => mark != wanted_mark,
    }
}

fn mark_of(marked: &Value) -> &str {
    let mark = marked["metadata"]["annotations"][APPLIED].as_str();
    mark.unwrap_or_default()
}

/// FNV-1a: the same on every machine and in every version, which the standard library's is not.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
