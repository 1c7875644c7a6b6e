//! The readers of weight files on any bytes, for fuzzing: what they promise is asserted.

use super::{ggml, pickle, strided::gather};

/// Any bytes are refused, or their tensors lie within them. Whether they were read.
///
/// # Panics
/// Where a promise is broken.
pub fn pytorch(bytes: &[u8]) -> bool {
    let Ok(contents) = pickle::read(bytes) else {
        return false;
    };
    for tensor in &contents.tensors {
        let within = &bytes[tensor.bytes.clone()];
        let size = tensor.element.bytes();
        let sizes = tensor.shape.iter();
        let count = sizes.fold(1_usize, |count, size| count.saturating_mul(*size));
        match &tensor.strides {
            None => assert_eq!(count * size, within.len(), "{tensor:?}"),
            // No more memory than a small configuration would ask for.
            Some(strides) if count < 1 << 16 => {
                let gathered = gather(within, size, &tensor.shape, strides);
                assert_eq!(
                    gathered.map(|bytes| bytes.len()),
                    Some(count * size),
                    "{tensor:?}"
                );
            }
            Some(_) => {}
        }
    }
    true
}

/// As [`pytorch`], for ggml files. Blocks are decoded.
///
/// # Panics
/// Where a promise is broken.
pub fn whisper_cpp(bytes: &[u8]) -> bool {
    let Ok(contents) = ggml::read(bytes) else {
        return false;
    };
    for tensor in &contents.tensors {
        let within = &bytes[tensor.bytes.clone()];
        let count: usize = tensor.shape.iter().product();
        match tensor.kind {
            ggml::Kind::Numbers(number) => assert_eq!(count * number.size(), within.len()),
            ggml::Kind::Blocks(blocks) => assert_eq!(blocks.decode(within).len(), count),
        }
    }
    true
}
