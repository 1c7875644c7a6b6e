//! What a pickle builds.

use super::globals::{Element, Global};

/// A value. What has parts is a place in [`Pickled`], so that copies, cycles and deep nesting cost nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Whatever no tensor depends on: `None`, fractions, bytes, devices.
    Other,
    Bool(bool),
    Integer(i128),
    Text(&'a str),
    Global(Global),
    /// Tuples and lists.
    Sequence(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

/// Bytes that tensors lie in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a str,
    pub(super) element: Element,
    /// First element, where it is a part of the storage of that key.
    pub(super) first: usize,
    /// Number of elements.
    pub(super) length: usize,
}

/// A tensor as it is described, not compared with the file yet.
#[derive(Clone, Debug)]
pub(super) struct Description<'a> {
    pub(super) storage: Storage<'a>,
    /// First element, in the storage.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
}

/// Everything that one pickle built.
#[derive(Debug, Default)]
pub(super) struct Pickled<'a> {
    pub(super) root: Option<Value<'a>>,
    pub(super) sequences: Vec<Vec<Value<'a>>>,
    pub(super) dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Description<'a>>,
}

impl<'a> Pickled<'a> {
    pub(super) fn sequence(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Sequence(at) => self.sequences.get(at).map(Vec::as_slice),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match value {
            Value::Dict(at) => self.dicts.get(at).map(Vec::as_slice),
            _ => None,
        }
    }

    /// The last value of a key, as a dictionary would have it.
    pub(super) fn get(&self, dict: Value<'a>, key: &str) -> Option<Value<'a>> {
        let entries = self.dict(dict)?;
        let found = entries.iter().rev().find(|(k, _)| *k == Value::Text(key))?;
        Some(found.1)
    }

    /// A sequence of sizes, one a dimension.
    pub(super) fn sizes(&self, value: Value<'a>) -> Option<Vec<usize>> {
        // A convolution has three dimensions. A sequence may be used again and again, so that its length counts.
        const MOST_DIMENSIONS: usize = 8;
        let sizes = self.sequence(value)?;
        if sizes.len() > MOST_DIMENSIONS {
            return None;
        }
        sizes.iter().map(Value::size).collect()
    }
}

impl Value<'_> {
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Integer(integer) => usize::try_from(*integer).ok(),
            _ => None,
        }
    }
}
