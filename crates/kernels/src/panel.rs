//! Products of a few rows of f32 with one panel: 32 columns of a matrix, packed side by side.

use crate::{level::Isa, math::mul_add};

/// Columns of a panel.
pub(crate) const COLUMNS: usize = 32;

/// One row of a panel.
pub(crate) type PanelRow<E> = [E; COLUMNS];

/// A value as it is stored in a panel.
pub(crate) trait Element: Copy + Default + Send + Sync {
    fn narrow(value: f32) -> Self;
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// The upper half of an f32.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bf16(u16);

impl Element for Bf16 {
    /// Rounds to the nearest, ties to even. NaN stays NaN.
    #[inline(always)]
    fn narrow(value: f32) -> Self {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
        let quiet = bits | 0x0040_0000;
        let kept = if value.is_nan() { quiet } else { rounded };
        let [_, _, low, high] = kept.to_le_bytes();
        Self(u16::from_le_bytes([low, high]))
    }

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// `sums[r] += Σ_k rows[r][first + k] * panel[k]` for rows of `stride` values, as many as there are sums.
#[inline(always)]
pub(crate) fn add_products<I: Isa, E: Element>(
    rows: &[f32],
    stride: usize,
    first: usize,
    panel: &[PanelRow<E>],
    sums: &mut [PanelRow<f32>],
) {
    let mut row = 0;
    while row < sums.len() {
        let rows = &rows[row * stride + first..];
        let left = sums.len() - row;
        let sums = &mut sums[row..];
        // 24 of 32 registers of 16 values hold sums, or 12 of 16 registers of 8.
        row += match left {
            12.. if I::WIDE => tile::<I, E, 12, 1>(rows, stride, panel, sums),
            4.. if I::WIDE => tile::<I, E, 4, 2>(rows, stride, panel, sums),
            3.. if !I::WIDE => tile::<I, E, 3, 1>(rows, stride, panel, sums),
            // One row alone would wait for each sum, so it has several.
            _ if I::WIDE => tile::<I, E, 1, 4>(rows, stride, panel, sums),
            _ => tile::<I, E, 1, 2>(rows, stride, panel, sums),
        };
    }
}

/// `PARTS` sums for each row, which do not wait for each other.
// Index loops, as adapters that take closures may stay calls here.
#[inline(always)]
fn tile<I: Isa, E: Element, const ROWS: usize, const PARTS: usize>(
    rows: &[f32],
    stride: usize,
    panel: &[PanelRow<E>],
    out: &mut [PanelRow<f32>],
) -> usize {
    let mut values: [&[f32]; ROWS] = [&[]; ROWS];
    for row in 0..ROWS {
        // The length is the same for all, and saying so takes the checks out of the loop below.
        values[row] = &rows[row * stride..][..panel.len()];
    }
    let mut sums = [[[0.0_f32; COLUMNS]; PARTS]; ROWS];
    let whole = panel.len() - panel.len() % PARTS;
    let mut k = 0;
    while k < whole {
        for part in 0..PARTS {
            add::<I, E, ROWS, PARTS>(&values, &panel[k + part], k + part, part, &mut sums);
        }
        k += PARTS;
    }
    while k < panel.len() {
        add::<I, E, ROWS, PARTS>(&values, &panel[k], k, 0, &mut sums);
        k += 1;
    }
    for row in 0..ROWS {
        for part in &sums[row] {
            for column in 0..COLUMNS {
                out[row][column] += part[column];
            }
        }
    }
    ROWS
}

#[inline(always)]
fn add<I: Isa, E: Element, const ROWS: usize, const PARTS: usize>(
    values: &[&[f32]; ROWS],
    panel: &PanelRow<E>,
    k: usize,
    part: usize,
    sums: &mut [[PanelRow<f32>; PARTS]; ROWS],
) {
    let mut columns = [0.0; COLUMNS];
    for column in 0..COLUMNS {
        columns[column] = panel[column].widen();
    }
    for row in 0..ROWS {
        let value = values[row][k];
        for column in 0..COLUMNS {
            sums[row][part][column] = mul_add::<I>(value, columns[column], sums[row][part][column]);
        }
    }
}
