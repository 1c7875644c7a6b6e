//! Numbers as bytes, from the lowest on, for matrices that are kept.

/// Numbers of four bytes each.
pub(crate) fn to_le_bytes<T: Copy>(values: &[T], write: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| write(*value)).collect()
}

/// Numbers of four bytes each.
pub(crate) fn from_le_bytes<T>(bytes: &[u8], read: impl Fn([u8; 4]) -> T) -> Vec<T> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|word| read(*word))
        .collect()
}
