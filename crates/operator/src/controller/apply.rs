//! Makes the cluster have what was built: writes what differs, deletes what should not be there.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::build::Resources;
use super::names::{MANAGER, Names};
use k8s_openapi::api::apps::v1::Deployment;

/// What was applied last, so that a field that is no longer wanted counts as a difference.
const APPLIED: &str = "wyoming-stt.dev/applied";

/// Why the cluster does not have what was built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// A child's name is taken by something that belongs to somebody else.
    #[error("{kind} {name} exists and belongs to somebody else: rename one of them")]
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

/// Writes in the order in which things need each other, the replicas last. Returns the Deployment as the API
/// server has it. `deployment` is what was there before.
///
/// # Errors
/// The first child that could not be settled; those before it are.
pub async fn apply(
    client: &Client,
    names: &Names,
    uid: &str,
    deployment: Option<Deployment>,
    built: Resources,
) -> Result<Deployment, ApplyError> {
    // No `..`: a new kind must be settled as well.
    let Resources {
        service_account,
        claim,
        network_policy,
        service,
        disruption_budget,
        deployment: wanted,
    } = built;
    let to = Settler { client, names, uid };
    to.settle(service_account).await?;
    to.settle(claim).await?;
    to.settle(network_policy).await?;
    to.settle(Some(service)).await?;
    to.settle(disruption_budget).await?;
    to.write(deployment, wanted).await
}

struct Settler<'a> {
    client: &'a Client,
    names: &'a Names,
    uid: &'a str,
}

/// Kinds that children have.
trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

impl Settler<'_> {
    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.names.namespace)
    }

    async fn settle<K: Child>(&self, wanted: Option<K>) -> Result<(), ApplyError> {
        let found = self.api::<K>().get_opt(&self.names.name).await;
        let found = found.map_err(|source| request::<K>("read", source))?;
        match (found, wanted) {
            (found, Some(wanted)) => self.write(found, wanted).await.map(drop),
            (Some(found), None) if is_ours(&found, self.uid) => self.delete(&found).await,
            (_, None) => Ok(()),
        }
    }

    async fn write<K: Child>(&self, found: Option<K>, wanted: K) -> Result<K, ApplyError> {
        let wanted = marked(&wanted);
        if let Some(found) = found {
            if !is_ours(&found, self.uid) {
                return Err(ApplyError::Foreign {
                    kind: K::kind(&()).into_owned(),
                    name: self.names.name.clone(),
                });
            }
            if has(&serde_json::json!(found), &wanted) {
                return Ok(found);
            }
        }
        let params = PatchParams::apply(MANAGER).force();
        let written = self
            .api::<K>()
            .patch(&self.names.name, &params, &Patch::Apply(&wanted))
            .await;
        tracing::info!(kind = %K::kind(&()), name = self.names.name, namespace = self.names.namespace, "child written");
        written.map_err(|source| request::<K>("write", source))
    }

    async fn delete<K: Child>(&self, found: &K) -> Result<(), ApplyError> {
        let params = DeleteParams {
            // Not one that came in its place meanwhile.
            preconditions: Some(Preconditions {
                uid: found.uid(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match self.api::<K>().delete(&self.names.name, &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            result => result
                .map(drop)
                .map_err(|source| request::<K>("delete", source)),
        }
    }
}

fn request<K: Child>(verb: &'static str, source: kube::Error) -> ApplyError {
    let kind = K::kind(&()).into_owned();
    match source {
        kube::Error::Api(status) if status.is_invalid() || status.is_forbidden() => {
            ApplyError::Refused {
                kind,
                message: status.message.clone(),
            }
        }
        source => ApplyError::Request { verb, kind, source },
    }
}

fn is_ours<K: Child>(found: &K, uid: &str) -> bool {
    found
        .owner_references()
        .iter()
        .any(|owner| owner.uid == uid && owner.controller == Some(true))
}

/// `wanted` as JSON, with a mark of all that it says.
fn marked<K: Child>(wanted: &K) -> Value {
    let mut value = serde_json::json!(wanted);
    let mark = format!("{:016x}", hash(&value.to_string()));
    value["metadata"]["annotations"][APPLIED] = Value::String(mark);
    value
}

/// FNV-1a: the same on every machine and in every version, which the standard library's is not.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Whether `found` has everything that `wanted` says. It may have more: the API server fills in defaults, and
/// others may own other fields.
fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            let is_enough = |found| has(found, wanted);
            found.get(name).map_or_else(|| is_empty(wanted), is_enough)
        }),
        (Value::Array(found), Value::Array(wanted)) => has_items(found, wanted),
        (Value::String(found), Value::String(wanted)) => {
            found == wanted || is_same_quantity(found, wanted)
        }
        (found, wanted) => found == wanted,
    }
}

/// Items with a name are found by it, since others may add some; the rest by place.
fn has_items(found: &[Value], wanted: &[Value]) -> bool {
    let is_named = wanted.iter().all(|item| item.get("name").is_some());
    if is_named {
        wanted.iter().all(|wanted| {
            let same = found
                .iter()
                .find(|item| item.get("name") == wanted.get("name"));
            same.is_some_and(|found| has(found, wanted))
        })
    } else {
        found.len() == wanted.len()
            && found
                .iter()
                .zip(wanted)
                .all(|(found, wanted)| has(found, wanted))
    }
}

/// What the API server leaves out when it says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The API server writes `0.5` as `500m` and `1024Mi` as `1Gi`.
fn is_same_quantity(one: &str, other: &str) -> bool {
    matches!((quantity(one), quantity(other)), (Some(one), Some(other)) if (one - other).abs() <= one.abs() * 1e-12)
}

fn quantity(text: &str) -> Option<f64> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let factor = match suffix {
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::has;

    #[test]
    fn what_the_api_server_adds_or_rewrites_is_no_difference() {
        for (found, wanted, expected) in [
            (json!({"a": 1, "b": 2}), json!({"a": 1}), true),
            (json!({"a": 2}), json!({"a": 1}), false),
            (json!({}), json!({"a": {}, "b": "", "c": []}), true),
            (json!({}), json!({"a": false}), false),
            (json!({"cpu": "500m"}), json!({"cpu": "0.5"}), true),
            (json!({"memory": "1Gi"}), json!({"memory": "1024Mi"}), true),
            (json!({"memory": "1Gi"}), json!({"memory": "1G"}), false),
            (
                json!([{"name": "x", "v": 1}, {"name": "y"}]),
                json!([{"name": "y"}]),
                true,
            ),
            (
                json!([{"name": "x", "v": 1}]),
                json!([{"name": "x", "v": 2}]),
                false,
            ),
            (json!(["a"]), json!(["a", "b"]), false),
        ] {
            assert_eq!(has(&found, &wanted), expected, "{found} {wanted}");
        }
    }
}
