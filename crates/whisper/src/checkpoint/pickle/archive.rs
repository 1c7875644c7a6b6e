//! The zip archive that `torch.save` writes since PyTorch 1.6: `NAME/data.pkl`, `NAME/data/KEY` for each storage.
//!
//! Members are stored, never compressed, so each is a range of the file. The directory at the archive's end is read
//! here, in a few lines, because the crates for zip archives reserve memory for as many members as the archive claims,
//! and hand out members as streams.

use std::{collections::HashMap, ops::Range};

use super::{Parts, PickleError, Storages, machine};
use crate::checkpoint::cursor::Cursor;

/// How such a file begins.
pub(crate) const ZIP_MAGIC: &[u8] = b"PK\x03\x04";

const END: &[u8; 4] = b"PK\x05\x06";
const END_64: &[u8; 4] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8; 4] = b"PK\x06\x07";
const DIRECTORY_ENTRY: &[u8; 4] = b"PK\x01\x02";
const END_LENGTH: usize = 22;
const LOCATOR_LENGTH: usize = 20;
/// Where a number of 32 bits says that the extra field has it in 64.
const ELSEWHERE: u32 = u32::MAX;

/// Members by name, as ranges of the file.
type Members<'a> = HashMap<&'a str, Range<usize>>;

/// Follows the pickle of an archive, and finds the storages.
pub(super) fn read<'a>(bytes: &'a [u8]) -> Result<Parts<'a>, PickleError> {
    let members = members(bytes)?;
    let pickle = members.iter().find_map(|(name, range)| {
        let folder = name.strip_suffix("data.pkl")?;
        (folder.is_empty() || folder.ends_with('/')).then_some((folder, range))
    });
    let (folder, pickle) = pickle.ok_or(PickleError::NotTorch {
        what: "its zip archive has no data.pkl",
    })?;
    let member =
        |name: &str| Some(&bytes[members.get(format!("{folder}{name}").as_str())?.clone()]);
    if member("byteorder").is_some_and(|order| order != b"little") {
        return Err(PickleError::BigEndian);
    }
    let pickled = machine::follow(&mut Cursor::new(&bytes[pickle.clone()]))?;
    let data = format!("{folder}data/");
    let storage = |(name, range): (&&'a str, &Range<usize>)| {
        Some((name.strip_prefix(data.as_str())?, range.clone()))
    };
    let storages: Storages<'a> = members.iter().filter_map(storage).collect();
    Ok((pickled, storages))
}

fn members(bytes: &[u8]) -> Result<Members<'_>, PickleError> {
    let (count, start) = directory(bytes)?;
    let cut = PickleError::Archive {
        what: "its directory is cut off",
    };
    let mut cursor = usize::try_from(start)
        .ok()
        .and_then(|start| Cursor::at(bytes, start))
        .ok_or(cut)?;
    let mut members = Members::new();
    // A member takes 46 bytes of the directory, so a count that lies ends with the file.
    for _ in 0..count {
        let (name, range) = member(bytes, &mut cursor)?;
        members.insert(name, range);
    }
    Ok(members)
}

/// Number of members, and where the directory begins.
fn directory(bytes: &[u8]) -> Result<(u64, u64), PickleError> {
    let missing = PickleError::Archive {
        what: "it is cut off",
    };
    let end_at = find_end(bytes).ok_or(missing)?;
    let mut end = Cursor::at(bytes, end_at + END.len());
    let numbers = end.as_mut().and_then(|end| {
        end.take(6)?;
        let count = end.u16()?;
        end.u32()?;
        Some((u64::from(count), u64::from(end.u32()?)))
    });
    let locator = end_at
        .checked_sub(LOCATOR_LENGTH)
        .and_then(|at| Cursor::at(bytes, at))
        .filter(|locator| { *locator }.array() == Some(*END_64_LOCATOR));
    let found = match locator {
        Some(locator) => long_directory(bytes, locator),
        None => numbers,
    };
    found.ok_or(PickleError::Archive {
        what: "its end is damaged",
    })
}

/// The end of an archive may be followed by a comment of up to 64 kB.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last)
        .rev()
        .find(|at| bytes[*at..].starts_with(END))
}

fn long_directory(bytes: &[u8], mut locator: Cursor<'_>) -> Option<(u64, u64)> {
    locator.take(8)?;
    let at = usize::try_from(locator.u64()?).ok()?;
    let mut end = Cursor::at(bytes, at)?;
    if end.array() != Some(*END_64) {
        return None;
    }
    end.take(28)?;
    let count = end.u64()?;
    end.u64()?;
    Some((count, end.u64()?))
}

/// One entry of the directory.
fn member<'a>(
    bytes: &'a [u8],
    cursor: &mut Cursor<'a>,
) -> Result<(&'a str, Range<usize>), PickleError> {
    let refuse = |what| PickleError::Archive { what };
    let entry = entry(cursor).ok_or_else(|| refuse("its directory is damaged"))?;
    if entry.is_encrypted {
        return Err(refuse("it is encrypted"));
    }
    if entry.method != 0 {
        return Err(refuse("it is compressed, which torch.save never does"));
    }
    let range =
        data_range(bytes, &entry).ok_or_else(|| refuse("a member lies outside of the file"))?;
    Ok((entry.name, range))
}

struct Entry<'a> {
    name: &'a str,
    is_encrypted: bool,
    method: u16,
    length: u64,
    header_at: u64,
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Option<Entry<'a>> {
    if cursor.array() != Some(*DIRECTORY_ENTRY) {
        return None;
    }
    cursor.take(4)?;
    let flags = cursor.u16()?;
    let method = cursor.u16()?;
    cursor.take(8)?;
    let (stored, length) = (cursor.u32()?, cursor.u32()?);
    let (name, extra, comment) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    cursor.take(8)?;
    let header_at = cursor.u32()?;
    let name = std::str::from_utf8(cursor.take(name.into())?).ok()?;
    let mut extra = Cursor::new(cursor.take(extra.into())?);
    cursor.take(comment.into())?;
    let mut long = long_numbers(&mut extra);
    // Order matters: the extra field has the numbers that do not fit, in this order.
    let mut number = |short: u32| match short {
        ELSEWHERE => long.as_mut()?.u64(),
        short => Some(u64::from(short)),
    };
    let length = number(length)?;
    number(stored)?;
    let header_at = number(header_at)?;
    Some(Entry {
        name,
        is_encrypted: flags & 1 != 0,
        method,
        length,
        header_at,
    })
}

/// The numbers of 64 bits, among the extra fields.
fn long_numbers<'a>(extra: &mut Cursor<'a>) -> Option<Cursor<'a>> {
    const LONG_NUMBERS: u16 = 1;
    loop {
        let (kind, length) = (extra.u16()?, extra.u16()?);
        let field = extra.take(length.into())?;
        if kind == LONG_NUMBERS {
            return Some(Cursor::new(field));
        }
    }
}

/// Behind the header that stands before the data, whose own extra field PyTorch fills up to a multiple of 64 bytes.
fn data_range(bytes: &[u8], entry: &Entry<'_>) -> Option<Range<usize>> {
    let mut header = Cursor::at(bytes, usize::try_from(entry.header_at).ok()?)?;
    if header.array() != ZIP_MAGIC.first_chunk::<4>().copied() {
        return None;
    }
    header.take(22)?;
    let (name, extra) = (header.u16()?, header.u16()?);
    header.take(name.into())?;
    header.take(extra.into())?;
    let start = header.position();
    header.take_long(entry.length)?;
    Some(start..header.position())
}
