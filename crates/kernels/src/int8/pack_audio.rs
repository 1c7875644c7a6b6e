//! Keys and values of audio as matrices that queries and weights are multiplied with.

use super::{GROUP, Int8Matrix, OFFSET, PANEL};
use crate::{
    level::{Isa, Kernel, Level},
    linear::{inverse, largest, to_byte},
    memory::prefetch,
};

impl Int8Matrix {
    /// Rounds and packs the first `ins` values of each of `rows`, less the mean of all, with one scale for each `block`
    /// of them, a whole number of panels. Where a value is not finite, scales are NaN.
    pub(crate) fn pack_centred<'a>(
        level: Level,
        rows: impl Iterator<Item = &'a [f32]> + Clone,
        [outs, ins]: [usize; 2],
        block: usize,
    ) -> Self {
        let mut packed = Self::zeros(outs, ins);
        level.dispatch(PackCentred {
            rows,
            block,
            packed: &mut packed,
        });
        packed
    }

    /// Rounds and packs a matrix that is stored the other way round, for inputs without the offset: `columns` are its
    /// inputs, as many as there are, with `outs` values first in each. A column of the result's with a value that is not
    /// finite gets the scale NaN.
    pub(crate) fn pack_columns<'a>(
        level: Level,
        columns: impl Iterator<Item = &'a [f32]> + Clone,
        [outs, ins]: [usize; 2],
    ) -> Self {
        let mut packed = Self::zeros(outs, ins);
        level.dispatch(PackColumns {
            columns,
            packed: &mut packed,
        });
        packed
    }
}

/// Rows that are asked for before they are read: those of one head lie far from each other.
const AHEAD: usize = 8;

/// Rows of weights → a matrix of them less their mean.
struct PackCentred<'a, R> {
    rows: R,
    block: usize,
    packed: &'a mut Int8Matrix,
}

impl<'a, R: Iterator<Item = &'a [f32]> + Clone> Kernel for PackCentred<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self {
            rows,
            block,
            packed,
        } = self;
        let (ins, outs) = (packed.ins, packed.outs);
        let around = Survey::new(rows.clone(), [outs, ins], block);
        let panel_size = packed.panel_size();
        let mut bytes = vec![0; ins.next_multiple_of(GROUP)];
        for (index, first) in (0..outs).step_by(block).enumerate() {
            let scale = around.largest(index) / 127.0;
            let inverse = inverse(scale);
            let last = (first + block).min(packed.scales.len());
            packed.scales[first..last].fill(scale);
            for (out, row) in (first..).zip(rows.clone().skip(first).take(block)) {
                let mut sum = 0;
                for ((byte, value), mean) in bytes.iter_mut().zip(row).zip(&around.mean) {
                    *byte = to_byte((value - mean) * inverse);
                    sum += i32::from(*byte);
                }
                packed.corrections[out] = -OFFSET * sum;
                let panel = &mut packed.weights[out / PANEL * panel_size..][..panel_size];
                let groups = panel.as_chunks_mut::<GROUP>().0.chunks_exact_mut(PANEL);
                for (groups, bytes) in groups.zip(bytes.as_chunks::<GROUP>().0) {
                    groups[out % PANEL] = *bytes;
                }
            }
        }
    }
}

/// What rows have in common.
struct Survey {
    mean: Vec<f32>,
    /// Of each block, the least of every column, and the largest.
    extremes: Vec<f32>,
}

impl Survey {
    /// One pass over `outs` rows of `ins` values.
    #[inline(always)]
    fn new<'a>(
        rows: impl Iterator<Item = &'a [f32]> + Clone,
        [outs, ins]: [usize; 2],
        block: usize,
    ) -> Self {
        let mut mean = vec![0.0; ins];
        let mut extremes = Vec::with_capacity(2 * ins * outs.div_ceil(block));
        let mut ahead = rows.clone().skip(AHEAD);
        for (index, row) in rows.enumerate() {
            if let Some(row) = ahead.next() {
                prefetch(row);
            }
            if index % block == 0 {
                extremes.extend_from_slice(row);
                extremes.extend_from_slice(row);
            }
            let start = extremes.len() - 2 * ins;
            let (least, largest) = extremes[start..].split_at_mut(ins);
            let columns = mean.iter_mut().zip(least).zip(largest);
            for (value, ((mean, least), largest)) in row.iter().zip(columns) {
                *mean += value;
                *least = if *value < *least { *value } else { *least };
                *largest = if *value > *largest { *value } else { *largest };
            }
        }
        for mean in &mut mean {
            *mean /= outs as f32;
        }
        Self { mean, extremes }
    }

    /// The largest distance from the mean in block `index`. One value that is not finite makes its column's mean so, and
    /// then this is NaN.
    fn largest(&self, index: usize) -> f32 {
        let ins = self.mean.len();
        let columns = self.extremes[2 * index * ins..][..2 * ins].chunks_exact(ins);
        let off: Vec<f32> = columns
            .flat_map(|values| {
                values
                    .iter()
                    .zip(&self.mean)
                    .map(|(value, mean)| value - mean)
            })
            .collect();
        largest(&off)
    }
}

/// Columns of weights → a matrix.
struct PackColumns<'a, C> {
    columns: C,
    packed: &'a mut Int8Matrix,
}

impl<'a, C: Iterator<Item = &'a [f32]> + Clone> Kernel for PackColumns<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { columns, packed } = self;
        let outs = packed.outs;
        // Sizes as bits, see `largest`.
        let mut sizes = vec![0; outs];
        let mut ahead = columns.clone().skip(AHEAD);
        for column in columns.clone() {
            if let Some(column) = ahead.next() {
                prefetch(column);
            }
            for (size, value) in sizes.iter_mut().zip(column) {
                *size = (*size).max(value.to_bits() & 0x7fff_ffff);
            }
        }
        let mut inverses = vec![0.0; packed.scales.len()];
        for ((size, scale), to) in sizes.iter().zip(&mut packed.scales).zip(&mut inverses) {
            *scale = largest(&[f32::from_bits(*size)]) / 127.0;
            *to = inverse(*scale);
        }
        let panel_size = packed.panel_size();
        let nothing = vec![0.0; outs];
        let mut columns = columns;
        let mut index = 0;
        while let Some(first) = columns.next() {
            // A group of inputs at once: whole vectors of outputs, each with its four bytes.
            let mut group = [first, &nothing, &nothing, &nothing];
            for (place, column) in group[1..].iter_mut().zip(columns.by_ref()) {
                *place = column;
            }
            for panel in 0..outs.div_ceil(PANEL) {
                let from = panel * PANEL;
                let count = PANEL.min(outs - from);
                let parts = group.map(|column| &column[from..][..count]);
                let at = panel * panel_size + index * PANEL * GROUP;
                let to = packed.weights[at..][..count * GROUP].as_chunks_mut().0;
                pack_group(parts, &inverses[from..], to);
            }
            index += 1;
        }
    }
}

/// Four inputs of some outputs.
#[inline(always)]
fn pack_group(inputs: [&[f32]; GROUP], inverses: &[f32], to: &mut [[i8; GROUP]]) {
    let [first, second, third, fourth] = inputs;
    let values = first.iter().zip(second).zip(third).zip(fourth);
    for ((to, inverse), (((first, second), third), fourth)) in
        to.iter_mut().zip(inverses).zip(values)
    {
        *to = [first, second, third, fourth].map(|value| to_byte(value * inverse));
    }
}
