//! Which of a model's matrices are rounded to what, in int8.
//!
//! On OpenAI's tiny.en, bytes for all weights and inputs change the words of one command in nine, and not one class of
//! products is to blame: the divergence of the logits (Kullback-Leibler, 4.7e-3 in all) is 2.1e-3 from the inputs of the
//! encoder, 1.1e-3 from the vocabulary, 0.8e-3 from the inputs of the decoder and 0.4e-3 from the weights of the encoder.
//! Figures below are divergences too, of what is rounded so alone.

use kernels::Rounding;

/// Up to this width (tiny and base) audio is worked out in two bytes. Wider models keep bytes, which are two to three
/// times as fast; how many words that changes was not measured.
const WIDEST_IN_WORDS: usize = 512;

/// For products of all positions of the audio: 0.01e-3 where they are in two bytes.
pub(super) fn of_audio(width: usize) -> Rounding {
    if width <= WIDEST_IN_WORDS {
        Rounding::Int16
    } else {
        Rounding::Int8
    }
}

/// For products of a few tokens, which wait for weights to come from memory: 0.1e-3, without the layer below.
pub(super) const OF_TOKENS: Rounding = Rounding::Int8ByInt16;

/// For the narrowing layer behind a token's GELU, whose weights alone make 0.12e-3 in bytes.
pub(super) const OF_TOKENS_NARROW: Rounding = Rounding::Int16;
