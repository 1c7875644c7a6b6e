//! Why a pass of the network is not made.

/// A pass that cannot be made. The state is unchanged, except after [`ModelError::Compute`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Candle could not compute.
    #[error("{operation} failed")]
    Compute {
        /// Which part of the network.
        operation: &'static str,
        /// What Candle said.
        source: candle_core::Error,
    },
    /// A spectrogram of another shape than the encoder reads.
    #[error(
        "the encoder reads {n_mels} mel bins and an even number of at most {frames} frames, not a spectrogram of shape {found:?}"
    )]
    MelShape {
        /// Bins of this model.
        n_mels: usize,
        /// Frames of its whole window.
        frames: usize,
        /// What came.
        found: Vec<usize>,
    },
    /// Encoded audio of another shape than the decoder reads.
    #[error("the decoder reads encoded audio of shape (positions, {width}), not {found:?}")]
    EncodedShape {
        /// Width of this model.
        width: usize,
        /// What came.
        found: Vec<usize>,
    },
    /// No such row.
    #[error("there is no row {row} among {rows}")]
    NoSuchRow {
        /// What was asked for.
        row: usize,
        /// How many there are.
        rows: usize,
    },
    /// A row was named twice in one pass.
    #[error("row {row} is named twice in one pass")]
    RowTwice {
        /// The row.
        row: usize,
    },
    /// Rows of different items cannot be copied: they hear different audio.
    #[error("rows {from} and {to} are of different items")]
    OtherItem {
        /// Copied from.
        from: usize,
        /// Copied to.
        to: usize,
    },
    /// The row cannot take so many tokens.
    #[error(
        "row {row} with {length} tokens has no room for {more} more, its capacity is {capacity}"
    )]
    RowFull {
        /// The row.
        row: usize,
        /// Tokens that it has.
        length: usize,
        /// Tokens that should come.
        more: usize,
        /// Most tokens of a row.
        capacity: usize,
    },
    /// A prefill without tokens.
    #[error("row {row} was given no tokens")]
    NoTokens {
        /// The row.
        row: usize,
    },
    /// A token that the vocabulary does not have.
    #[error("token {token} is outside of the vocabulary of {vocab_size}")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
    /// Logits were asked for behind the tokens given.
    #[error("logits after token {asked} were asked for, but only {tokens} tokens were given")]
    AskedBehindEnd {
        /// Index asked for.
        asked: usize,
        /// Tokens given.
        tokens: usize,
    },
}
