//! Why a file of PyTorch's cannot be read.

/// A file of PyTorch's that cannot be read. The path is the caller's to name.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PickleError {
    /// The pickle names a function or a class that no state dict needs.
    #[error(
        "its pickle wants to run {name:?}, which is refused: nothing but weights is read from a pickle; save the state dict alone, or take the safetensors of the same model"
    )]
    Runs {
        /// Module and name.
        name: String,
    },

    /// The bytes end within something, or are no pickle.
    #[error("its pickle is damaged at byte {at}: {what}; download it again")]
    Damaged {
        /// Position in the pickle.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },

    /// An instruction that no file of PyTorch's has.
    #[error(
        "its pickle has the instruction {opcode:#04x} at byte {at}, which no state dict needs: save it with torch.save"
    )]
    Opcode {
        /// Position in the pickle.
        at: usize,
        /// The instruction.
        opcode: u8,
    },

    /// More instructions than any state dict has.
    #[error("its pickle has more than {limit} instructions: no state dict has so many")]
    TooLong {
        /// How many are followed.
        limit: usize,
    },

    /// The archive around the pickle cannot be read.
    #[error(
        "its zip archive cannot be read: {what}; download it again, or save it again with torch.save"
    )]
    Archive {
        /// What is wrong.
        what: &'static str,
    },

    /// A file in the format before PyTorch 1.6 whose head is another.
    #[error("it is not a file of torch.save: {what}")]
    NotTorch {
        /// What is wrong.
        what: &'static str,
    },

    /// Weights in the order of bytes of another machine.
    #[error("its numbers are big-endian: save it again on a machine that is not")]
    BigEndian,

    /// There is no dictionary of tensors where one is looked for.
    #[error(
        "it holds no dictionary of tensors, but {found}: save model.state_dict() with torch.save"
    )]
    NoStateDict {
        /// What it holds.
        found: String,
    },

    /// A tensor that does not lie within the file.
    #[error("tensor {tensor:?} {what}: download the file again")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        what: &'static str,
    },

    /// `dims` of OpenAI's format lacks a number.
    #[error(
        "its dims have no {name} between 0 and 16 million: is it a Whisper checkpoint of OpenAI's?"
    )]
    Dims {
        /// The number.
        name: &'static str,
    },
}
