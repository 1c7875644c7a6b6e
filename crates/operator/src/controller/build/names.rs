//! Names to expect, as files in the pods: of a ConfigMap, and what a Home Assistant is asked with.

use k8s_openapi::api::core::v1::EnvVar;

use super::container::var;
use super::files::{MountedFile, Source};
use crate::controller::validate::ValidStt;

pub(super) fn files(stt: &ValidStt) -> Vec<MountedFile<'_>> {
    let Some(names) = &stt.spec.names else {
        return Vec::new();
    };
    let mut files = Vec::new();
    files.extend(names.config_map_ref.as_ref().map(|given| MountedFile {
        name: "names",
        folder: "/names/names",
        setting: "STT_NAMES",
        from: Source::ConfigMap(given),
    }));
    if let Some(home) = &names.home_assistant {
        files.push(MountedFile {
            name: "home-assistant-token",
            folder: "/names/home-assistant-token",
            setting: "STT_HOME_ASSISTANT_TOKEN_FILE",
            from: Source::Secret(&home.token_secret_ref),
        });
        files.extend(home.ca_config_map_ref.as_ref().map(|given| MountedFile {
            name: "home-assistant-ca",
            folder: "/names/home-assistant-ca",
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
