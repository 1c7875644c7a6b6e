//! Files of `torch.save`: `pytorch_model.bin` (or shards that an index names) among the small files of transformers, and
//! OpenAI's `.pt`, which has the shape of the model within and names its tensors otherwise.

use std::path::Path;

use super::{Contents, Form, hugging_face, openai_names, openai_words};
use crate::checkpoint::{
    LoadError,
    configuration::{ConfigFile, GenerationConfig, Shape},
    files::WeightFile,
    folder::Folder,
    pickle::{self, Dims, Element, PickleError, TensorRange},
    stored::{Stored, Values},
};

const WEIGHTS: &str = "pytorch_model.bin";
const WEIGHTS_INDEX: &str = "pytorch_model.bin.index.json";

/// Whether a file begins as these do.
pub(super) fn is(bytes: &[u8]) -> bool {
    pickle::is(bytes)
}

/// A folder as transformers wrote it before safetensors; `None` where it has no such weights.
pub(super) fn open(folder: Folder<'_>) -> Result<Option<Contents>, LoadError> {
    let single = folder.path().join(WEIGHTS);
    let paths = if single.exists() {
        vec![single]
    } else if let Some((path, bytes)) = Folder::new(folder.path()).read(WEIGHTS_INDEX)? {
        hugging_face::shards(&path, &bytes)?
    } else {
        return Ok(None);
    };
    let weights: Result<_, _> = paths.into_iter().map(WeightFile::map).collect();
    hugging_face::assemble(folder, Form::PyTorch, weights?).map(Some)
}

/// One file: OpenAI's if it says its shape, else with transformers' small files in its folder.
pub(super) fn open_file(folder: Folder<'_>, file: WeightFile) -> Result<Contents, LoadError> {
    let contents = pickle::read(file.bytes());
    let contents = contents.map_err(|fault| unreadable(file.path(), fault))?;
    let Some(dims) = contents.dims else {
        return hugging_face::assemble(folder, Form::PyTorch, vec![file]);
    };
    Ok(Contents {
        form: Form::PyTorch,
        config_path: file.path().to_owned(),
        config: ConfigFile::of_shape(shape(&dims)),
        generation: GenerationConfig::default(),
        tokenizer: openai_words::beside(folder, dims.n_vocab)?,
        weights: vec![file],
    })
}

/// What the files hold.
pub(super) fn tensors(files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
    let mut found = Vec::new();
    for file in files {
        let contents =
            pickle::read(file.bytes()).map_err(|fault| unreadable(file.path(), fault))?;
        let tensors = contents.tensors.into_iter();
        found.extend(tensors.map(|tensor| stored(file, tensor)));
    }
    Ok(found)
}

fn stored(file: &WeightFile, tensor: TensorRange) -> Stored<'_> {
    let bytes = &file.bytes()[tensor.bytes];
    let values = match (tensor.element, tensor.strides) {
        (Element::Number(number), None) => Values::Numbers(number, bytes.into()),
        (Element::Number(number), Some(strides)) => Values::Strided {
            number,
            bytes,
            strides,
        },
        (Element::Integer(_), _) => Values::Unread("integers".to_owned()),
    };
    Stored {
        name: openai_names::to_transformers(hugging_face::plain_name(&tensor.name)),
        path: file.path(),
        called: tensor.name,
        shape: tensor.shape,
        values,
    }
}

fn shape(dims: &Dims) -> Shape {
    Shape {
        n_mels: dims.n_mels,
        source_positions: dims.n_audio_ctx,
        d_model: dims.n_audio_state,
        encoder_heads: dims.n_audio_head,
        encoder_layers: dims.n_audio_layer,
        vocabulary: dims.n_vocab,
        target_positions: dims.n_text_ctx,
        decoder_heads: dims.n_text_head,
        decoder_layers: dims.n_text_layer,
    }
}

fn unreadable(path: &Path, fault: PickleError) -> LoadError {
    LoadError::Damaged {
        path: path.to_owned(),
        form: "file of PyTorch",
        source: fault.into(),
    }
}
