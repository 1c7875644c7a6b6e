//! What things are called, and how they are found again.

use std::collections::BTreeMap;

use super::mirror::Owner;

/// Our container.
pub const SERVER: &str = "server";
/// Port of Wyoming in the pods.
pub const WYOMING_PORT: i32 = 10300;
/// Port of the HTTP API in the pods.
pub const HTTP_PORT: i32 = 8080;
/// The label that tells whose something is.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label that tells who made something.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The field manager of what users declared.
pub const MANAGER: &str = "wyoming-stt-operator";
/// The field manager of the number of replicas where it follows the load: another than of the rest, so that each leaves
/// alone what is the other's.
pub const SCALER: &str = "wyoming-stt-operator-fleet";

/// Names of everything that belongs to one object. All children bear its name: kinds keep them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Of the object and its children.
    pub name: String,
    /// Where they are.
    pub namespace: String,
}

impl Names {
    /// For the object `name` in `namespace`.
    pub fn of(name: &str, namespace: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    /// As mirrors know it.
    pub fn owner(&self) -> Owner {
        Owner {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Labels that single out the pods. They never change: a Deployment's selector cannot.
    pub fn selector(&self) -> BTreeMap<String, String> {
        labels(&[
            ("app.kubernetes.io/component", "server"),
            (INSTANCE, &self.name),
            ("app.kubernetes.io/name", "wyoming-stt"),
        ])
    }

    /// Labels of all children.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = self.selector();
        all.extend(labels(&[(MANAGED_BY, MANAGER)]));
        all
    }

    /// [`Self::selector`] as a query.
    pub fn query(&self) -> String {
        let pairs: Vec<String> = self
            .selector()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(",")
    }
}

/// A map of labels.
pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
