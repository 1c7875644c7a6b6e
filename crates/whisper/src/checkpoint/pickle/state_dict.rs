//! From what a pickle built to tensors: the dictionary that holds them is found, and each is compared with the file.

use std::ops::Range;

use super::{
    Element, PickleError, Storages,
    value::{Description, Pickled, Value},
};

/// Where training programs put a state dict beside other things; OpenAI's first.
const WITHIN: [&str; 3] = ["model_state_dict", "state_dict", "model"];
/// As for sizes in config.json: far above any Whisper.
const LARGEST_SIZE: usize = 1 << 24;
/// One text of the pickle may be the name of many tensors.
const LONGEST_NAME: usize = 512;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The tensors, in the order of the file.
    pub(crate) tensors: Vec<TensorRange>,
    /// The shape of the model, in OpenAI's format.
    pub(crate) dims: Option<Dims>,
}

/// A tensor as a range of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorRange {
    /// As the file has it.
    pub(crate) name: String,
    /// Type of its numbers.
    pub(crate) element: Element,
    /// Sizes.
    pub(crate) shape: Vec<usize>,
    /// Elements between neighbours in each dimension, where they are not one behind the other, row by row.
    pub(crate) strides: Option<Vec<usize>>,
    /// Bytes of the file, from the first element to behind the last.
    pub(crate) bytes: Range<usize>,
}

/// `dims` of OpenAI's format.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the names of the format")]
pub(crate) struct Dims {
    pub(crate) n_mels: usize,
    pub(crate) n_vocab: usize,
    pub(crate) n_audio_ctx: usize,
    pub(crate) n_audio_state: usize,
    pub(crate) n_audio_head: usize,
    pub(crate) n_audio_layer: usize,
    pub(crate) n_text_ctx: usize,
    pub(crate) n_text_state: usize,
    pub(crate) n_text_head: usize,
    pub(crate) n_text_layer: usize,
}

pub(super) fn read(
    pickled: &Pickled<'_>,
    storages: &Storages<'_>,
) -> Result<Contents, PickleError> {
    let entries = find(pickled).ok_or_else(|| PickleError::NoStateDict {
        found: what_is_there(pickled),
    })?;
    let mut contents = Contents {
        dims: dims(pickled)?,
        ..Contents::default()
    };
    for (name, value) in entries {
        let (Value::Text(name), Value::Tensor(at)) = (name, value) else {
            continue;
        };
        let Some(described) = pickled.tensors.get(*at) else {
            continue;
        };
        if name.len() > LONGEST_NAME {
            return Err(PickleError::Tensor {
                tensor: format!(
                    "{}…",
                    name.chars().take(LONGEST_NAME / 16).collect::<String>()
                ),
                what: "has a name that no tensor has",
            });
        }
        let tensor = range_of(name, described, storages);
        contents
            .tensors
            .push(tensor.map_err(|what| PickleError::Tensor {
                tensor: (*name).to_owned(),
                what,
            })?);
    }
    Ok(contents)
}

/// The dictionary itself, or the first of those names in it.
fn find<'p, 'a>(pickled: &'p Pickled<'a>) -> Option<&'p [(Value<'a>, Value<'a>)]> {
    let root = pickled.root?;
    let within = WITHIN.iter().filter_map(|name| pickled.get(root, name));
    let holds_tensors = |entries: &&[(Value<'_>, Value<'_>)]| {
        entries
            .iter()
            .any(|(_, value)| matches!(value, Value::Tensor(_)))
    };
    std::iter::once(root)
        .chain(within)
        .filter_map(|dict| pickled.dict(dict))
        .find(holds_tensors)
}

fn what_is_there(pickled: &Pickled<'_>) -> String {
    const MOST: usize = 8;
    let entries = pickled.root.and_then(|root| pickled.dict(root));
    let Some(entries) = entries else {
        return "something else".to_owned();
    };
    let names = entries.iter().filter_map(|(key, _)| match key {
        Value::Text(name) => Some(format!("{:.40}", name.escape_debug())),
        _ => None,
    });
    let names: Vec<String> = names.take(MOST).collect();
    if names.is_empty() {
        "an empty one".to_owned()
    } else {
        format!("one of {}", names.join(", "))
    }
}

/// Sizes and strides are the pickle's word: nothing is taken outside of what the file has.
fn range_of(
    name: &str,
    described: &Description<'_>,
    storages: &Storages<'_>,
) -> Result<TensorRange, &'static str> {
    const OUTSIDE: &str = "reaches beyond its storage";
    let storage = described.storage;
    let range = storages
        .get(storage.key)
        .ok_or("lies in a storage that the file does not have")?;
    let width = storage.element.bytes();
    let available = range.len() / width;
    let part_end = storage.first.checked_add(storage.length).ok_or(OUTSIDE)?;
    if part_end > available {
        return Err("lies in a storage that is shorter than the pickle says");
    }
    let spanned = spanned(&described.shape, &described.strides).ok_or(OUTSIDE)?;
    let end = described.offset.checked_add(spanned).ok_or(OUTSIDE)?;
    if end > storage.length {
        return Err(OUTSIDE);
    }
    let start = range.start + width * (storage.first + described.offset);
    let is_row_by_row = described.strides == row_by_row(&described.shape)
        || described.shape.contains(&0)
        || are_equal_where_it_matters(&described.shape, &described.strides);
    Ok(TensorRange {
        name: name.to_owned(),
        element: storage.element,
        shape: described.shape.clone(),
        strides: (!is_row_by_row).then(|| described.strides.clone()),
        bytes: start..start + width * spanned,
    })
}

/// Elements from the first to behind the last; `None` where that is no number.
fn spanned(shape: &[usize], strides: &[usize]) -> Option<usize> {
    // The number of elements must be a number too, for those who multiply.
    shape
        .iter()
        .try_fold(1_usize, |count, size| count.checked_mul(*size))?;
    if shape.contains(&0) {
        return Some(0);
    }
    let steps = shape.iter().zip(strides);
    let last = steps.map(|(size, stride)| (size - 1).checked_mul(*stride));
    let last = last
        .into_iter()
        .try_fold(0_usize, |sum, step| sum.checked_add(step?))?;
    last.checked_add(1)
}

fn row_by_row(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at].saturating_mul(shape[at]);
    }
    strides
}

/// The stride of a dimension of one is never used, and PyTorch writes whatever it has.
fn are_equal_where_it_matters(shape: &[usize], strides: &[usize]) -> bool {
    let expected = row_by_row(shape);
    let mut dimensions = shape.iter().zip(strides).zip(&expected);
    dimensions.all(|((size, stride), expected)| *size == 1 || stride == expected)
}

fn dims(pickled: &Pickled<'_>) -> Result<Option<Dims>, PickleError> {
    let Some(dims) = pickled.root.and_then(|root| pickled.get(root, "dims")) else {
        return Ok(None);
    };
    let number = |name: &'static str| {
        let size = pickled.get(dims, name).and_then(|value| value.size());
        size.filter(|size| (1..=LARGEST_SIZE).contains(size))
            .ok_or(PickleError::Dims { name })
    };
    Ok(Some(Dims {
        n_mels: number("n_mels")?,
        n_vocab: number("n_vocab")?,
        n_audio_ctx: number("n_audio_ctx")?,
        n_audio_state: number("n_audio_state")?,
        n_audio_head: number("n_audio_head")?,
        n_audio_layer: number("n_audio_layer")?,
        n_text_ctx: number("n_text_ctx")?,
        n_text_state: number("n_text_state")?,
        n_text_head: number("n_text_head")?,
        n_text_layer: number("n_text_layer")?,
    }))
}
