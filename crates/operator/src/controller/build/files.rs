//! Files that settings of the server name, from ConfigMaps and Secrets.
//!
//! Whole volumes are mounted, since a file that is mounted by itself (`subPath`) is not updated.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};

use super::container::var;
use crate::api::{ConfigMapKey, SecretKey};

/// A file in a volume of its own.
pub(super) struct MountedFile<'a> {
    /// Of the volume.
    pub(super) name: &'static str,
    /// Where the volume is mounted.
    pub(super) folder: &'static str,
    /// The server's setting that has its path.
    pub(super) setting: &'static str,
    pub(super) from: Source<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    ConfigMap(&'a ConfigMapKey),
    Secret(&'a SecretKey),
}

/// Readable by the group of the pod, which the volume is given to.
const SECRET_MODE: i32 = 0o440;
/// What each file is called in its volume.
const FILE: &str = "file";

impl MountedFile<'_> {
    pub(super) fn setting(&self) -> EnvVar {
        var(self.setting, format!("{}/{FILE}", self.folder))
    }

    pub(super) fn mount(&self) -> VolumeMount {
        VolumeMount {
            name: self.name.to_owned(),
            mount_path: self.folder.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }
    }

    pub(super) fn volume(&self) -> Volume {
        let item = |key: &str| {
            Some(vec![KeyToPath {
                key: key.to_owned(),
                path: FILE.to_owned(),
                mode: None,
            }])
        };
        let mut volume = Volume {
            name: self.name.to_owned(),
            ..Volume::default()
        };
        match self.from {
            Source::ConfigMap(given) => {
                volume.config_map = Some(ConfigMapVolumeSource {
                    name: given.name.clone(),
                    items: item(&given.key),
                    ..ConfigMapVolumeSource::default()
                });
            }
            Source::Secret(given) => {
                volume.secret = Some(SecretVolumeSource {
                    secret_name: Some(given.name.clone()),
                    items: item(&given.key),
                    default_mode: Some(SECRET_MODE),
                    optional: None,
                });
            }
        }
        volume
    }
}
