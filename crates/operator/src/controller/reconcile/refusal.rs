//! What the cluster refuses, as something that a person can change.

use crate::controller::apply::{ApplyError, Unkept};
use crate::controller::reason::Reason;
use crate::controller::validate::{Fault, ValidStt};

/// What a person must change, if it is no passing trouble.
pub(super) fn refusal(stt: &ValidStt, error: &ApplyError) -> Option<Fault> {
    let reason = match error {
        ApplyError::Foreign { .. } => Reason::NameTaken,
        ApplyError::NotPermitted { .. } => Reason::OperatorNotPermitted,
        ApplyError::Refused { message, .. } if is_unknown_volume(stt, message) => {
            return Some(image_volume_unsupported());
        }
        ApplyError::Refused { kind, message } if kind == "PersistentVolumeClaim" => {
            return Some(Fault::new(
                Reason::VolumeRefused,
                format!(
                    "the cluster refuses the PersistentVolumeClaim: {message}: all else goes on with the volume as it is; use a storage class that lets volumes grow, or delete the claim if its models may be downloaded anew"
                ),
            ));
        }
        ApplyError::Refused { message, .. } if message.contains("exceeded quota") => {
            Reason::QuotaExceeded
        }
        ApplyError::Refused { .. } => Reason::ApplyRefused,
        ApplyError::Request { .. } | ApplyError::Waits { .. } => return None,
    };
    Some(Fault::new(reason, error.to_string()))
}

/// Without its only source, which an API server drops that does not know it, a volume is refused.
fn is_unknown_volume(stt: &ValidStt, message: &str) -> bool {
    wants_image(stt) && message.contains("must specify a volume type")
}

fn wants_image(stt: &ValidStt) -> bool {
    let source = stt.spec.model.source.as_ref();
    source.is_some_and(|source| source.image.is_some())
}

/// Fields of the Deployment that the spec needs and the API server dropped, because it does not know them.
pub(super) fn dropped(stt: &ValidStt, unkept: &Unkept) -> Option<Fault> {
    let fields = &unkept.get("Deployment")?.fields;
    let has = |end: &str| fields.iter().any(|field| field.ends_with(end));
    if wants_image(stt) && has("volumes[model].image") {
        return Some(image_volume_unsupported());
    }
    has(".resourceClaims").then(|| {
        Fault::new(
            Reason::ResourceClaimsUnsupported,
            "this cluster does not know dynamic resource allocation (Kubernetes 1.34): use device.gpu.resourceName and count",
        )
    })
}

fn image_volume_unsupported() -> Fault {
    Fault::new(
        Reason::ImageVolumeUnsupported,
        "this cluster does not know image volumes (Kubernetes 1.35, or the feature gate ImageVolume): use model.source.persistentVolumeClaim",
    )
}
