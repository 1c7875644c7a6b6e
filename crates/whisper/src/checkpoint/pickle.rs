//! What `torch.save` writes: `pytorch_model.bin`, OpenAI's `.pt`.
//!
//! Such a file is a pickle, a program for a machine with a stack, beside the bytes of the tensors: since PyTorch 1.6
//! both are in a zip archive, before that one came behind the other. The program is not run: a machine with a closed
//! list of names ([`machine`], [`globals`]) builds dictionaries and descriptions of tensors, and refuses a file that
//! names anything else. A tensor is a range of the file's bytes, which is not copied.

mod archive;
mod error;
mod globals;
mod legacy;
mod machine;
mod state_dict;
mod value;

use std::{collections::HashMap, ops::Range};

pub(super) use self::{
    error::PickleError,
    globals::Element,
    state_dict::{Contents, Dims, TensorRange},
};

use self::{archive::ZIP_MAGIC, legacy::starts_legacy, value::Pickled};

/// Whether a file begins like a file of `torch.save`.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP_MAGIC) || starts_legacy(bytes)
}

/// The tensors that a file describes, and the shape of the model where it says so.
///
/// # Errors
/// [`PickleError`], naming the tensor where one is at fault.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, PickleError> {
    if bytes.starts_with(ZIP_MAGIC) {
        let (pickled, storages) = archive::read(bytes)?;
        state_dict::read(&pickled, &storages)
    } else {
        let (pickled, storages) = legacy::read(bytes)?;
        state_dict::read(&pickled, &storages)
    }
}

/// Where the bytes of each storage are, by its key.
type Storages<'a> = HashMap<&'a str, Range<usize>>;

/// What a file says, before its tensors are looked for.
type Parts<'a> = (Pickled<'a>, Storages<'a>);
