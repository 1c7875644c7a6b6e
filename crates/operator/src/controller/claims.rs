//! Volumes that an object names and does not own: whether they are there, and which pods can mount them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::{Api, Client};

use super::reason::Reason;
use super::validate::{Fault, ModelFiles, Sharing, ValidStt};

/// How long an answer is believed.
const FRESH: Duration = Duration::from_secs(240);
/// How soon one that is not there is looked for again: nothing tells when it comes.
pub const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Access modes of claims by name; none for one that does not exist.
pub type Found = BTreeMap<String, Option<Vec<String>>>;

/// What is known of claims, and since when.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    found: Found,
    looked: Option<Duration>,
}

impl Claims {
    /// What is known of the claims that `stt` names, `now` being the time since any fixed moment. A claim that
    /// the operator may not read is left out.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn of(
        &mut self,
        client: &Client,
        stt: &ValidStt,
        now: Duration,
    ) -> Result<&Found, kube::Error> {
        let names = named(stt);
        let is_missing = self.found.values().any(Option::is_none);
        let fresh = if is_missing { LOOK_AGAIN } else { FRESH };
        let is_known = names.iter().all(|name| self.found.contains_key(*name))
            && self.looked.is_some_and(|at| now.saturating_sub(at) < fresh);
        if !is_known {
            self.found = read(client, &stt.names.namespace, &names).await?;
            self.looked = Some(now);
        }
        Ok(&self.found)
    }
}

async fn read(client: &Client, namespace: &str, names: &[&str]) -> Result<Found, kube::Error> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let mut found = Found::new();
    for name in names {
        match claims.get_opt(name).await {
            Ok(claim) => {
                let modes = claim.map(|claim| {
                    let spec = claim.spec.unwrap_or_default();
                    spec.access_modes.unwrap_or_default()
                });
                found.insert((*name).to_owned(), modes);
            }
            Err(kube::Error::Api(status)) if status.is_forbidden() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Claims that `stt` mounts and the operator does not make.
fn named(stt: &ValidStt) -> Vec<&str> {
    match &stt.model {
        ModelFiles::BuiltIn => Vec::new(),
        ModelFiles::Hub { .. } => {
            let claim = stt.spec.cache.persistent_volume_claim.as_ref();
            claim
                .map(|claim| claim.claim_name.as_str())
                .into_iter()
                .collect()
        }
        ModelFiles::Mounted { .. } => {
            let source = stt.spec.model.source.as_ref();
            let claim = source.and_then(|source| source.persistent_volume_claim.as_ref());
            claim
                .map(|claim| claim.claim_name.as_str())
                .into_iter()
                .collect()
        }
    }
}

/// Adds to `stt` what is to be warned of.
///
/// # Errors
/// What cannot work.
pub fn check(mut stt: ValidStt, found: &Found) -> Result<ValidStt, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    for name in named(&stt.clone()) {
        let is_written = matches!(stt.model, ModelFiles::Hub { .. });
        let field = if is_written {
            "cache.persistentVolumeClaim"
        } else {
            "model.source.persistentVolumeClaim"
        };
        let Some(modes) = found.get(name) else {
            continue;
        };
        let Some(modes) = modes else {
            faults.push(Fault::new(
                Reason::ClaimMissing,
                format!("{field} names the claim {name}, which does not exist in this namespace: create it, or name another"),
            ));
            continue;
        };
        stt.sharing = Sharing::of(modes);
        let only = |mode: &str| modes.iter().all(|it| it == mode);
        let is_shared = stt.replicas.most() > 1;
        if only("ReadWriteOncePod") && is_shared {
            faults.push(Fault::new(
                Reason::VolumeNotShared,
                format!("the claim {name} of {field} has access mode ReadWriteOncePod, which serves one replica: use one with ReadWriteMany, or allow one replica only"),
            ));
        } else if only("ReadWriteOnce") && is_shared {
            warnings.push(Fault::new(
                Reason::VolumeOnOneNode,
                format!("the claim {name} of {field} has access mode ReadWriteOnce, which holds all replicas on one node: use one with ReadWriteMany to spread them"),
            ));
        } else if only("ReadOnlyMany") && is_written {
            faults.push(Fault::new(
                Reason::VolumeReadOnly,
                format!("the claim {name} of {field} can only be read, and models are downloaded into it: use one with ReadWriteMany, or put the model there and name it in model.source.persistentVolumeClaim"),
            ));
        }
    }
    if faults.is_empty() {
        stt.warnings.extend(warnings);
        Ok(stt)
    } else {
        Err(faults)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::testing::{defaults, object};
    use crate::controller::validate::validate;

    fn checked(spec: &Value, modes: Option<&[&str]>) -> Result<ValidStt, Vec<Fault>> {
        let stt = validate(&object(spec), &defaults()).unwrap();
        let modes = modes.map(|modes| modes.iter().map(|mode| (*mode).to_owned()).collect());
        check(stt, &[("models".to_owned(), modes)].into())
    }

    fn cache(replicas: u32) -> Value {
        json!({"model": {"name": "base"}, "replicas": replicas,
            "cache": {"persistentVolumeClaim": {"claimName": "models"}}})
    }

    fn source(replicas: u32) -> Value {
        json!({"model": {"name": "base", "source": {"persistentVolumeClaim": {"claimName": "models"}}},
            "replicas": replicas})
    }

    #[test]
    fn a_claim_that_cannot_serve_is_a_fault() {
        for (spec, modes, reason) in [
            (cache(1), None, "ClaimMissing"),
            (source(1), None, "ClaimMissing"),
            (cache(2), Some(&["ReadWriteOncePod"][..]), "VolumeNotShared"),
            (source(2), Some(&["ReadWriteOncePod"]), "VolumeNotShared"),
            (cache(1), Some(&["ReadOnlyMany"]), "VolumeReadOnly"),
        ] {
            let faults = checked(&spec, modes).unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert_eq!(faults[0].reason, reason, "{spec}");
            assert!(faults[0].message.contains("models"), "{faults:?}");
        }
    }

    #[test]
    fn a_claim_for_one_node_is_a_warning_with_several_replicas() {
        let warnings = |spec: &Value| checked(spec, Some(&["ReadWriteOnce"])).unwrap().warnings;
        assert_eq!(warnings(&cache(1)), []);
        assert_eq!(warnings(&cache(2))[0].reason, "VolumeOnOneNode");
        assert_eq!(warnings(&source(3))[0].reason, "VolumeOnOneNode");
    }

    #[test]
    fn access_modes_tell_which_pods_can_share() {
        for (modes, sharing) in [
            (&["ReadWriteOnce"][..], Sharing::OneNode),
            (&["ReadWriteOncePod"], Sharing::OnePod),
            (&["ReadWriteOnce", "ReadWriteMany"], Sharing::AnyNode),
        ] {
            let stt = checked(&cache(1), Some(modes)).unwrap();
            assert_eq!(stt.sharing, sharing, "{modes:?}");
        }
    }

    #[test]
    fn claims_that_are_not_mounted_or_not_known_are_no_matter() {
        let demo = json!({"model": {"name": "demo"}, "cache": {"persistentVolumeClaim": {"claimName": "models"}}});
        assert!(checked(&demo, None).is_ok());
        let stt = validate(&object(&cache(2)), &defaults()).unwrap();
        assert!(check(stt, &Found::new()).is_ok());
    }
}
