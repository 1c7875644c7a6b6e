//! `model.bin`: which variables it has, and where.

use std::collections::BTreeMap;

use super::Aliases;
use crate::checkpoint::stored::Number;

/// Versions of the file whose layout is known.
const OLDEST: u32 = 2;
const NEWEST: u32 = 6;
/// What Whisper's are called.
const SPECIFICATION: &str = "WhisperSpec";
/// Aliases since this version, and types by number since the one after it.
const WITH_ALIASES: u32 = 3;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::checkpoint) enum Fault {
    #[error("it ends within {what} at byte {at}: it is cut short or damaged, download it again")]
    Short { what: &'static str, at: usize },
    #[error("it has version {found}, and {OLDEST} to {NEWEST} are known: convert the model again")]
    Version { found: u32 },
    #[error("it holds a {found:?} and not a {SPECIFICATION}: use a Whisper model")]
    Specification { found: String },
    #[error("a name at byte {at} is not text: it is damaged, download it again")]
    Name { at: usize },
    #[error("it has no tensor {tensor}: it is no Whisper model, or damaged")]
    Missing { tensor: &'static str },
    #[error("tensor {tensor} has {found} dimensions: it is no Whisper model, or damaged")]
    Rank { tensor: &'static str, found: usize },
    #[error(
        "tensor {tensor} with {rows} rows should be {parts} matrices: it is damaged, download it again"
    )]
    Rows {
        tensor: String,
        rows: usize,
        parts: usize,
    },
}

/// What numbers a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number(Number),
    I8,
    I16,
    Other(u8),
}

/// Where a variable is. The length of its bytes may not be that of its shape.
#[derive(Clone, Debug)]
pub(super) struct Variable<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) kind: Kind,
    pub(super) bytes: &'a [u8],
}

/// All variables by their names.
#[derive(Debug)]
pub(super) struct Model<'a> {
    pub(super) variables: BTreeMap<&'a str, Variable<'a>>,
    aliases: Aliases<'a>,
}

/// Whether a file has one of the known versions, and a specification behind it.
pub(super) fn begins_well(bytes: &[u8]) -> bool {
    let mut cursor = Cursor { bytes, at: 0 };
    let version = cursor.u32("version");
    let is_known = version.is_ok_and(|version| (1..100).contains(&version));
    is_known
        && cursor
            .text("specification")
            .is_ok_and(|name| name.ends_with("Spec"))
}

impl<'a> Model<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut cursor = Cursor { bytes, at: 0 };
        let version = cursor.u32("its version")?;
        if !(OLDEST..=NEWEST).contains(&version) {
            return Err(Fault::Version { found: version });
        }
        let specification = cursor.text("its specification")?;
        if specification != SPECIFICATION {
            return Err(Fault::Specification {
                found: specification.to_owned(),
            });
        }
        cursor.u32("its revision")?;
        let mut model = Self {
            variables: BTreeMap::new(),
            aliases: BTreeMap::new(),
        };
        for _ in 0..cursor.u32("the number of tensors")? {
            let name = cursor.text("a name")?;
            model.variables.insert(name, cursor.variable(version)?);
        }
        if version >= WITH_ALIASES {
            for _ in 0..cursor.u32("the number of aliases")? {
                let alias = cursor.text("an alias")?;
                model.aliases.insert(alias, cursor.text("a name")?);
            }
        }
        Ok(model)
    }

    /// A variable by its name or an alias.
    pub(super) fn get(&self, name: &str) -> Option<&Variable<'a>> {
        let named = self.variables.get(name);
        named.or_else(|| self.variables.get(self.aliases.get(name)?))
    }

    /// Every name and alias.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'a str, &Variable<'a>)> {
        let variables = self
            .variables
            .iter()
            .map(|(name, variable)| (*name, variable));
        let aliases = self.aliases.iter();
        // The output matrix is told to be tied by having no variable of its own.
        variables.chain(aliases.filter_map(|(alias, name)| {
            let is_tied = *alias == "decoder/projection/weight";
            (!is_tied).then_some((*alias, self.variables.get(name)?))
        }))
    }

    /// The scales of integers, of the name or of what it is an alias of.
    pub(super) fn scales(&self, name: &str) -> Option<Vec<f32>> {
        let of_alias = || {
            let weight = self.aliases.get(name.strip_suffix("_scale")?)?;
            self.get(&format!("{weight}_scale"))
        };
        let scales = self.get(name).or_else(of_alias)?;
        let values = scales.bytes.as_chunks::<4>().0.iter();
        let is_f32 = scales.kind == Kind::Number(Number::F32) && !scales.bytes.is_empty();
        is_f32.then(|| values.map(|value| f32::from_le_bytes(*value)).collect())
    }

    /// A setting that is written as a variable.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        match (self.get(name)?.kind, self.get(name)?.bytes) {
            (Kind::I8, [byte]) => Some(byte.cast_signed().into()),
            (Kind::I16, [a, b]) => Some(i16::from_le_bytes([*a, *b]).into()),
            _ => None,
        }
    }

    /// The shape of a variable of `N` dimensions.
    pub(super) fn dims<const N: usize>(&self, tensor: &'static str) -> Result<[usize; N], Fault> {
        let variable = self.get(tensor).ok_or(Fault::Missing { tensor })?;
        let shape = variable.shape.as_slice().try_into();
        shape.map_err(|_| Fault::Rank {
            tensor,
            found: variable.shape.len(),
        })
    }
}

/// Where reading is.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest
            .get(..count)
            .ok_or(Fault::Short { what, at: self.at })?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Fault> {
        let at = self.at;
        let taken = self.take(N, what)?;
        taken.try_into().map_err(|_| Fault::Short { what, at })
    }

    fn u8(&mut self, what: &'static str) -> Result<u8, Fault> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Fault> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Its length counts the zero at its end.
    fn text(&mut self, what: &'static str) -> Result<&'a str, Fault> {
        let length = u16::from_le_bytes(self.array(what)?);
        let at = self.at;
        let text = self.take(length.into(), what)?;
        let text = text.strip_suffix(&[0]).ok_or(Fault::Name { at })?;
        std::str::from_utf8(text).map_err(|_| Fault::Name { at })
    }

    fn variable(&mut self, version: u32) -> Result<Variable<'a>, Fault> {
        let rank = self.u8("a shape")?;
        let mut shape = Vec::with_capacity(rank.into());
        for _ in 0..rank {
            shape.push(usize_of(self.u32("a shape")?));
        }
        let (kind, length) = if version > WITH_ALIASES {
            let kind = kind(self.u8("a type")?);
            (kind, usize_of(self.u32("a length")?))
        } else {
            let size = self.u8("a type")?;
            let count = usize_of(self.u32("a length")?);
            (kind_of_size(size), count.saturating_mul(size.into()))
        };
        let bytes = self.take(length, "the values of a tensor")?;
        Ok(Variable { shape, kind, bytes })
    }
}

/// Lengths of 32 bits fit all machines that this runs on.
fn usize_of(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// By its number: `DataType` of CTranslate2's `types.h`.
fn kind(id: u8) -> Kind {
    match id {
        0 => Kind::Number(Number::F32),
        1 => Kind::I8,
        2 => Kind::I16,
        4 => Kind::Number(Number::F16),
        5 => Kind::Number(Number::Bf16),
        other => Kind::Other(other),
    }
}

/// Old files have the size of a number only.
fn kind_of_size(size: u8) -> Kind {
    match size {
        4 => Kind::Number(Number::F32),
        2 => Kind::I16,
        1 => Kind::I8,
        other => Kind::Other(other),
    }
}
