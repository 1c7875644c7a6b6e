//! A folder with one file of weights under whatever name: OpenAI's `tiny.en.pt`, whisper.cpp's `ggml-base.bin`.

use std::path::{Path, PathBuf};

use super::{pytorch, whisper_cpp};
use crate::checkpoint::{LoadError, files::WeightFile, folder::names};

/// `None` where there is none.
///
/// # Errors
/// [`LoadError::Several`] where there are several.
pub(super) fn find(folder: &Path) -> Result<Option<PathBuf>, LoadError> {
    let mut found = Vec::new();
    for name in names(folder)?
        .into_iter()
        .filter(|name| may_hold_weights(name))
    {
        let path = folder.join(&name);
        if !path.is_file() {
            continue;
        }
        let file = WeightFile::map(path.clone())?;
        if pytorch::is(file.bytes()) || whisper_cpp::is(file.bytes()) {
            found.push((name, path));
        }
    }
    if found.len() > 1 {
        let names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
        return Err(LoadError::Several {
            path: folder.to_owned(),
            what: "weight files",
            found: names.join(", "),
        });
    }
    Ok(found.pop().map(|(_, path)| path))
}

/// Trainers leave other files of `torch.save` in a folder.
fn may_hold_weights(name: &str) -> bool {
    const OF_TRAINERS: [&str; 5] = [
        "training_args",
        "optimizer",
        "scheduler",
        "scaler",
        "rng_state",
    ];
    const ENDS: [&str; 3] = [".pt", ".pth", ".bin"];
    ENDS.iter().any(|end| name.ends_with(end))
        && !OF_TRAINERS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trainers_leave_is_no_model() {
        for name in ["tiny.en.pt", "ggml-base-q5_1.bin", "best.pth"] {
            assert!(may_hold_weights(name), "{name}");
        }
        for name in [
            "training_args.bin",
            "optimizer.pt",
            "rng_state_0.pth",
            "readme.md",
        ] {
            assert!(!may_hold_weights(name), "{name}");
        }
    }
}
