//! The project's own small checkpoint, part of the program.
//!
//! It was trained on synthetic speech by the recipe in `crates/whisper/demo`, knows English
//! smart-home commands and nothing else, and is no claim about accuracy on people's speech.

use crate::checkpoint::{Checkpoint, EmbeddedFiles, LoadError};

impl Checkpoint {
    /// The demo checkpoint.
    ///
    /// # Errors
    /// Never for an intact program; the files are read like any other checkpoint's.
    pub fn demo() -> Result<Self, LoadError> {
        Self::embedded(EmbeddedFiles {
            name: "demo",
            config: include_bytes!("../demo/model/config.json"),
            generation_config: Some(include_bytes!("../demo/model/generation_config.json")),
            preprocessor_config: Some(include_bytes!("../demo/model/preprocessor_config.json")),
            tokenizer: include_bytes!("../demo/model/tokenizer.json"),
            weights: include_bytes!("../demo/model/model.safetensors"),
        })
    }
}
