//! Weights of one byte or two, for inputs of two.
//!
//! Sums are integers of 32 bits. Weights of two bytes have 12 bits; inputs have as many as no sum can exceed: the sizes
//! of an output's weights together, times the largest input, stay below 2^31.
//!
//! ```text
//! packed weights:  panel 0                        panel 1 …
//!                  inputs 0..2 of outputs 0..32   inputs 2..4 of outputs 0..32  …
//! ```

mod pack;
mod tile;

pub(crate) use tile::WordRows;

use crate::{
    level::Level,
    linear::{Columns, Input, Inputs, PANEL, Product, Tile},
    memory::Lines,
};

/// Inputs that one instruction multiplies and sums up.
pub(crate) const PAIR: usize = 2;

/// A weight matrix `(outs, ins)` in packed integers with one scale for each output.
#[derive(Clone, Debug)]
pub struct Int16Matrix {
    ins: usize,
    outs: usize,
    weights: Weights,
    /// One for each output, padded to whole panels.
    scales: Vec<f32>,
    /// The largest size of an input, from 1 to [`i16::MAX`].
    most: i16,
}

/// `(panels, pairs, PANEL, PAIR)`.
#[derive(Clone, Debug)]
enum Weights {
    Bytes(Lines<i8>),
    Words(Lines<i16>),
}

impl Int16Matrix {
    /// With these packed weights of 12 bits.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of_words(
        [outs, ins]: [usize; 2],
        words: Lines<i16>,
        scales: Vec<f32>,
        most: i16,
    ) -> Self {
        let weights = Weights::Words(words);
        Self {
            ins,
            outs,
            weights,
            scales,
            most,
        }
    }

    /// The packed weights, where they have 12 bits.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn words(&self) -> Option<&[i16]> {
        match &self.weights {
            Weights::Words(words) => Some(words),
            Weights::Bytes(_) => None,
        }
    }

    /// One for each output, padded to whole panels.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The largest size of an input.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn most(&self) -> i16 {
        self.most
    }

    fn panel_size(&self) -> usize {
        self.ins.div_ceil(PAIR) * PAIR * PANEL
    }
}

impl Product for Int16Matrix {
    type Tiles = Level;

    const IN_BYTES: bool = false;

    fn shape(&self) -> [usize; 2] {
        [self.outs, self.ins]
    }

    fn tile_rows(_: Level) -> usize {
        tile::MOST_ROWS
    }

    fn fill(&self, level: Level, x: Input<'_>, inputs: &mut Inputs) {
        inputs.fill_words(level, x, self.ins, self.most);
    }

    fn tiles(level: Level, _: usize) -> Level {
        level
    }

    fn columns(&self, panel: usize, bias: &[f32]) -> Columns {
        let scales = &self.scales[panel * PANEL..][..PANEL];
        Columns::around_zero(scales, bias, panel * PANEL)
    }

    fn sums(
        &self,
        level: &Level,
        panel: usize,
        inputs: &Inputs,
        row: usize,
        sums: &mut Tile,
    ) -> usize {
        let size = self.panel_size();
        let rows = inputs.word_rows(row);
        match &self.weights {
            Weights::Bytes(weights) => {
                tile::sums(*level, &weights[panel * size..][..size], rows, sums)
            }
            Weights::Words(weights) => {
                tile::sums(*level, &weights[panel * size..][..size], rows, sums)
            }
        }
    }
}
