//! The HTTP API of the replicas: its settings, and the file with its keys.

use k8s_openapi::api::core::v1::EnvVar;

use super::container::var;
use super::files::{MountedFile, Source};
use crate::controller::names::HTTP_PORT;
use crate::controller::validate::ValidStt;

/// Name of the API's port, in the pods and in the Service.
pub(super) const HTTP: &str = "http";

pub(super) fn settings(stt: &ValidStt) -> Vec<EnvVar> {
    let Some(http) = &stt.spec.http else {
        // No Service leads to it.
        return vec![var("STT_HTTP", "off")];
    };
    // Without keys the server would listen on the loopback address only, where no Service reaches it.
    let mut settings = vec![var("STT_HTTP", format!("*:{HTTP_PORT}"))];
    settings.extend(keys(stt).map(|file| file.setting()));
    settings.extend(
        http.max_body_mebibytes
            .map(|size| var("STT_HTTP_MAX_BODY", size.to_string())),
    );
    settings
}

pub(super) fn keys(stt: &ValidStt) -> Option<MountedFile<'_>> {
    let given = stt.spec.http.as_ref()?.keys_secret_ref.as_ref()?;
    Some(MountedFile {
        name: "http-keys",
        folder: "/http/keys",
        setting: "STT_HTTP_KEYS",
        from: Source::Secret(given),
    })
}
