//! The names that a pickle may say. There are no others: whatever is not here is refused, and nothing is ever called.

use crate::checkpoint::stored::Number;

/// A name of the closed list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    /// `collections.OrderedDict`, `dict`.
    Dict,
    /// `torch._utils._rebuild_tensor`, also `_v2`, which has two more arguments.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter`, also `_with_state`: its first argument.
    RebuildParameter,
    /// `torch.Size`: its argument.
    Size,
    /// A class of storages.
    Storage(Element),
    /// What builds something that no tensor depends on: devices, types of numbers, sets, bytes.
    Ignored,
}

/// Type of numbers in a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// A fraction.
    Number(Number),
    /// An integer or a boolean, of so many bytes: no weight, but state dicts hold counters.
    Integer(usize),
}

impl Element {
    /// Bytes of one number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Number(number) => number.size(),
            Self::Integer(bytes) => bytes,
        }
    }
}

impl Global {
    /// `None` for a name that is not on the list.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => {
                Some(Self::Dict)
            }
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Some(Self::RebuildParameter)
            }
            ("torch", "Size") => Some(Self::Size),
            ("torch" | "torch.cuda", _) if name.ends_with("Storage") => {
                element_of(name).map(Self::Storage)
            }
            ("torch", "device" | "float64" | "float32" | "float16" | "bfloat16" | "int64")
            | ("builtins" | "__builtin__", "set" | "frozenset")
            | ("_codecs", "encode") => Some(Self::Ignored),
            _ => None,
        }
    }
}

fn element_of(storage: &str) -> Option<Element> {
    Some(match storage.strip_suffix("Storage")? {
        "Double" => Element::Number(Number::F64),
        "Float" => Element::Number(Number::F32),
        "Half" => Element::Number(Number::F16),
        "BFloat16" => Element::Number(Number::Bf16),
        "Long" => Element::Integer(8),
        "Int" => Element::Integer(4),
        "Short" => Element::Integer(2),
        "Char" | "Byte" | "Bool" => Element::Integer(1),
        _ => return None,
    })
}
