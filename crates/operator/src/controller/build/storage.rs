//! Volumes: downloads, a model that is mounted, and files for settings.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, ImageVolumeSource, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, Volume, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::container::pull_policy_name;
use super::files::MountedFile;
use super::{http, metadata, names};
use crate::controller::validate::{ModelFiles, ValidStt};

/// Where downloads are kept, in the container.
pub(super) const DOWNLOADS: &str = "/models";
/// Where a volume with a model is mounted.
const MODEL: &str = "/model";

/// The folder of a mounted model.
pub(super) fn model_folder(stt: &ValidStt) -> String {
    match &stt.model {
        ModelFiles::Mounted { path } => format!("{MODEL}{}", path.trim_end_matches('/')),
        ModelFiles::BuiltIn | ModelFiles::Hub { .. } => String::new(),
    }
}

fn downloads(stt: &ValidStt) -> bool {
    matches!(stt.model, ModelFiles::Hub { .. })
}

pub(super) fn mounts(stt: &ValidStt) -> Option<Vec<VolumeMount>> {
    let mount = |name: &str, path: &str, read_only: Option<bool>| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    };
    let model = match &stt.model {
        ModelFiles::BuiltIn => None,
        ModelFiles::Hub { .. } => Some(mount("downloads", DOWNLOADS, None)),
        ModelFiles::Mounted { .. } => Some(mount("model", MODEL, Some(true))),
    };
    some(model.into_iter().chain(files(stt).map(|file| file.mount())))
}

fn files(stt: &ValidStt) -> impl Iterator<Item = MountedFile<'_>> {
    names::files(stt).into_iter().chain(http::keys(stt))
}

/// No list at all rather than an empty one.
fn some<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    Some(items.collect::<Vec<T>>()).filter(|items| !items.is_empty())
}

pub(super) fn volumes(stt: &ValidStt) -> Option<Vec<Volume>> {
    let model = match &stt.model {
        ModelFiles::BuiltIn => None,
        ModelFiles::Hub { .. } => Some(cache(stt)),
        ModelFiles::Mounted { .. } => Some(model(stt)),
    };
    some(
        model
            .into_iter()
            .chain(files(stt).map(|file| file.volume())),
    )
}

fn model(stt: &ValidStt) -> Volume {
    let source = stt.spec.model.source.clone().unwrap_or_default();
    Volume {
        name: "model".to_owned(),
        persistent_volume_claim: source.persistent_volume_claim.map(|volume| {
            PersistentVolumeClaimVolumeSource {
                claim_name: volume.claim_name,
                read_only: Some(true),
            }
        }),
        image: source.image.map(|image| ImageVolumeSource {
            reference: Some(image.reference),
            pull_policy: Some(pull_policy_name(image.pull_policy).to_owned()),
        }),
        ..Volume::default()
    }
}

fn cache(stt: &ValidStt) -> Volume {
    let cache = &stt.spec.cache;
    let mut volume = Volume {
        name: "downloads".to_owned(),
        ..Volume::default()
    };
    let claim = |claim_name: &str| {
        Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name.to_owned(),
            read_only: None,
        })
    };
    if let Some(given) = &cache.persistent_volume_claim {
        volume.persistent_volume_claim = claim(&given.claim_name);
    } else if cache.volume_claim_template.is_some() {
        volume.persistent_volume_claim = claim(&stt.names.name);
    } else if let Some(host) = &cache.host_path {
        volume.host_path = Some(HostPathVolumeSource {
            path: host.path.clone(),
            type_: Some("Directory".to_owned()),
        });
    } else {
        let folder = cache.empty_dir.clone().unwrap_or_default();
        volume.empty_dir = Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(
                folder
                    .size_limit
                    .unwrap_or_else(|| room_for(&stt.spec.model.name).to_owned()),
            )),
            medium: None,
        });
    }
    volume
}

/// Room for a model's download and what is packed of it. Published in 32 bit, large-v2 has 6.2 GB, and a quarter of that
/// is kept beside it in bytes.
fn room_for(model: &str) -> &'static str {
    let name = model.rsplit('/').next().unwrap_or(model);
    if name.contains("large") && !name.contains("turbo") {
        "12Gi"
    } else {
        "5Gi"
    }
}

/// The claim for downloads, if the operator is to make one and there are any.
pub(super) fn claim(stt: &ValidStt) -> Option<PersistentVolumeClaim> {
    let template = stt.spec.cache.volume_claim_template.as_ref()?;
    let modes = template.access_modes.iter();
    downloads(stt).then(|| PersistentVolumeClaim {
        metadata: metadata(stt),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(modes.map(|mode| mode.name().to_owned()).collect()),
            storage_class_name: template.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(template.size.clone()))].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    })
}
