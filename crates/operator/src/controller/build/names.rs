//! Names to expect, as files in the pods: of a ConfigMap, and what a Home Assistant is asked with.
//!
//! Whole volumes are mounted, since a file that is mounted by itself (`subPath`) is not updated.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount,
};

use super::container::var;
use crate::api::{ConfigMapKey, SecretKey};
use crate::controller::validate::ValidStt;

/// A file in a volume of its own.
struct MountedFile<'a> {
    /// Of the volume.
    name: &'static str,
    /// The server's setting that has its path.
    setting: &'static str,
    from: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    ConfigMap(&'a ConfigMapKey),
    Secret(&'a SecretKey),
}

/// Readable by the group of the pod, which the volume is given to.
const SECRET_MODE: i32 = 0o440;
/// What each file is called in its volume.
const FILE: &str = "file";

impl MountedFile<'_> {
    fn folder(&self) -> String {
        format!("/names/{}", self.name)
    }

    fn setting(&self) -> EnvVar {
        var(self.setting, format!("{}/{FILE}", self.folder()))
    }

    fn mount(&self) -> VolumeMount {
        VolumeMount {
            name: self.name.to_owned(),
            mount_path: self.folder(),
            read_only: Some(true),
            ..VolumeMount::default()
        }
    }

    fn volume(&self) -> Volume {
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

fn files(stt: &ValidStt) -> Vec<MountedFile<'_>> {
    let Some(names) = &stt.spec.names else {
        return Vec::new();
    };
    let mut files = Vec::new();
    files.extend(names.config_map_ref.as_ref().map(|given| MountedFile {
        name: "names",
        setting: "STT_NAMES",
        from: Source::ConfigMap(given),
    }));
    if let Some(home) = &names.home_assistant {
        files.push(MountedFile {
            name: "home-assistant-token",
            setting: "STT_HOME_ASSISTANT_TOKEN_FILE",
            from: Source::Secret(&home.token_secret_ref),
        });
        files.extend(home.ca_config_map_ref.as_ref().map(|given| MountedFile {
            name: "home-assistant-ca",
            setting: "STT_HOME_ASSISTANT_CA",
            from: Source::ConfigMap(given),
        }));
    }
    files
}

pub(super) fn settings(stt: &ValidStt) -> Vec<EnvVar> {
    let home = stt.spec.names.as_ref();
    let home = home.and_then(|names| names.home_assistant.as_ref());
    let mut settings: Vec<EnvVar> = home
        .map(|home| var("STT_HOME_ASSISTANT", home.url.as_str()))
        .into_iter()
        .collect();
    settings.extend(files(stt).iter().map(MountedFile::setting));
    settings
}

pub(super) fn mounts(stt: &ValidStt) -> Vec<VolumeMount> {
    files(stt).iter().map(MountedFile::mount).collect()
}

pub(super) fn volumes(stt: &ValidStt) -> Vec<Volume> {
    files(stt).iter().map(MountedFile::volume).collect()
}
