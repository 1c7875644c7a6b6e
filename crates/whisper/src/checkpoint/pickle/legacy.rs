//! What `torch.save` wrote before PyTorch 1.6, and writes with `_use_new_zipfile_serialization=False`: five pickles one
//! behind the other (a magic number, a version, what machine wrote it, the values, the keys of the storages), then for
//! each key its length in elements and its bytes.

use std::collections::HashMap;

use super::{
    Parts, PickleError, Storages, machine,
    value::{Pickled, Value},
};
use crate::checkpoint::cursor::Cursor;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

/// Whether a file begins as such a file does: PROTO, LONG1 of ten bytes and the magic number.
pub(crate) fn starts_legacy(bytes: &[u8]) -> bool {
    let number = MAGIC.to_le_bytes();
    bytes.first() == Some(&0x80)
        && bytes.get(2..4) == Some(&[0x8a, 10])
        && bytes.get(4..14) == number.get(..10)
}

pub(super) fn read(bytes: &[u8]) -> Result<Parts<'_>, PickleError> {
    if !starts_legacy(bytes) {
        return Err(PickleError::NotTorch {
            what: "its magic number is another",
        });
    }
    let mut cursor = Cursor::new(bytes);
    let magic = machine::follow(&mut cursor)?.root;
    let version = machine::follow(&mut cursor)?.root;
    if (magic, version) != (Some(Value::Integer(MAGIC)), Some(Value::Integer(VERSION))) {
        return Err(PickleError::NotTorch {
            what: "its version is another",
        });
    }
    let machine = machine::follow(&mut cursor)?;
    let is_little = machine
        .root
        .and_then(|root| machine.get(root, "little_endian"));
    if is_little == Some(Value::Bool(false)) {
        return Err(PickleError::BigEndian);
    }
    let pickled = machine::follow(&mut cursor)?;
    let keys = machine::follow(&mut cursor)?;
    let storages = storages(&pickled, &keys, &mut cursor).ok_or(PickleError::NotTorch {
        what: "it ends before its weights do, or its list of them is damaged",
    })?;
    Ok((pickled, storages))
}

/// The storages stand in the order of their keys.
fn storages<'a>(
    pickled: &Pickled<'a>,
    keys: &Pickled<'a>,
    cursor: &mut Cursor<'a>,
) -> Option<Storages<'a>> {
    let elements: HashMap<&str, usize> = pickled
        .storages
        .iter()
        .map(|storage| (storage.key, storage.element.bytes()))
        .collect();
    let mut storages = Storages::new();
    for key in keys.sequence(keys.root?)? {
        let Value::Text(key) = *key else {
            return None;
        };
        let length = cursor.u64()?;
        let start = cursor.position();
        cursor.take_long(length.checked_mul(*elements.get(key)? as u64)?)?;
        storages.insert(key, start..cursor.position());
    }
    Some(storages)
}
