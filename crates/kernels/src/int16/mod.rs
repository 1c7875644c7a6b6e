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
};

/// Inputs that one instruction multiplies and sums up.
const PAIR: usize = 2;

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
    Bytes(Vec<i8>),
    Words(Vec<i16>),
}

impl Int16Matrix {
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
