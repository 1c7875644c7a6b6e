//! Weights as integers, in panels.

use rayon::prelude::*;

use super::{Int16Matrix, PAIR, Weights};
use crate::{
    linear::{PANEL, from_le_bytes, inverse, largest, round_to_integer, to_le_bytes},
    memory::Lines,
};

/// The largest size of a weight of 12 bits.
const MOST_OF_WORDS: i16 = (1 << 11) - 1;
const MOST_OF_BYTES: i16 = i8::MAX as i16;

impl Int16Matrix {
    /// Rounds and packs `weight`, `(outs, ins)` row-major, to 12 bits `in_words`, else to bytes. Values must be finite:
    /// a row with one that is not gets the scale NaN.
    ///
    /// # Panics
    /// When `weight` is not whole rows of `ins` values.
    pub fn pack(weight: &[f32], ins: usize, in_words: bool) -> Self {
        assert!(
            ins > 0 && weight.len().is_multiple_of(ins),
            "{} values are not rows of {ins}",
            weight.len()
        );
        let outs = weight.len() / ins;
        let padded = outs.next_multiple_of(PANEL);
        let panel_size = ins.next_multiple_of(PAIR) * PANEL;
        let mut words = Lines::zeroed(panel_size * padded / PANEL);
        let mut scales = vec![0.0; padded];
        let most = if in_words {
            MOST_OF_WORDS
        } else {
            MOST_OF_BYTES
        };
        let sizes = words
            .par_chunks_mut(panel_size)
            .zip(scales.par_chunks_mut(PANEL))
            .zip(weight.par_chunks(PANEL * ins))
            .map(|((panel, scales), rows)| pack_panel(rows, ins, most, panel, scales))
            .max();
        let weights = if in_words {
            Weights::Words(words)
        } else {
            let bytes = words.iter().map(|word| word.to_le_bytes()[0].cast_signed());
            Weights::Bytes(bytes.collect())
        };
        Self {
            ins,
            outs,
            weights,
            scales,
            most: largest_input(sizes.unwrap_or(0)),
        }
    }

    pub(crate) fn kept_bytes([outs, ins]: [usize; 2], in_words: bool) -> usize {
        let padded = outs.next_multiple_of(PANEL);
        let weight = if in_words { 2 } else { 1 };
        padded * ins.next_multiple_of(PAIR) * weight + 4 * padded + size_of::<i16>()
    }

    /// The packed weights, the scales and the largest input, to be kept.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = match &self.weights {
            Weights::Bytes(weights) => weights
                .iter()
                .map(|weight| weight.cast_unsigned())
                .collect(),
            Weights::Words(weights) => weights.iter().flat_map(|word| word.to_le_bytes()).collect(),
        };
        bytes.extend(to_le_bytes(&self.scales, f32::to_le_bytes));
        bytes.extend(self.most.to_le_bytes());
        bytes
    }

    /// What [`Int16Matrix::to_bytes`] gave for a matrix `(outs, ins)`.
    pub(crate) fn from_bytes(
        [outs, ins]: [usize; 2],
        in_words: bool,
        bytes: &[u8],
    ) -> Option<Self> {
        let (rest, most) = bytes.split_last_chunk()?;
        let scales = 4 * outs.next_multiple_of(PANEL);
        let (weights, scales) = rest.split_at_checked(rest.len().checked_sub(scales)?)?;
        let weights = if in_words {
            let words = weights.as_chunks().0.iter();
            Weights::Words(words.map(|word| i16::from_le_bytes(*word)).collect())
        } else {
            Weights::Bytes(weights.iter().map(|byte| byte.cast_signed()).collect())
        };
        Some(Self {
            ins,
            outs,
            weights,
            scales: from_le_bytes(scales, f32::from_le_bytes),
            most: i16::from_le_bytes(*most),
        })
    }
}

/// Inputs whose sums with weights of `size` together stay below 2^31.
fn largest_input(size: u32) -> i16 {
    let most = i32::MAX.cast_unsigned() / size.max(1);
    i16::try_from(most).unwrap_or(i16::MAX)
}

/// Returns the largest sum of sizes of an output's weights.
fn pack_panel(rows: &[f32], ins: usize, most: i16, panel: &mut [i16], scales: &mut [f32]) -> u32 {
    let mut largest_size = 0;
    let pairs = panel.as_chunks_mut::<PAIR>().0;
    for (lane, row) in rows.chunks_exact(ins).enumerate() {
        let scale = largest(row) / f32::from(most);
        let inverse = inverse(scale);
        let mut size = 0;
        for (index, values) in row.chunks(PAIR).enumerate() {
            for (word, value) in pairs[index * PANEL + lane].iter_mut().zip(values) {
                // Clamped for values that are not finite, which would be any integer.
                *word = round_to_integer(value * inverse).clamp(-most, most);
                size += u32::from(word.unsigned_abs());
            }
        }
        scales[lane] = scale;
        largest_size = largest_size.max(size);
    }
    largest_size
}
