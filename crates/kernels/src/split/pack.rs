//! From whole bytes to their halves.

use rayon::prelude::*;

use super::{LOW_MIDDLE, PAIR, SplitMatrix, estimates::DEVIATIONS};
use crate::int8::{GROUP, Int8Matrix, PANEL};
use crate::level::{Isa, Kernel, Level};

impl SplitMatrix {
    /// Splits the weights of `matrix`.
    pub fn new(matrix: &Int8Matrix) -> Self {
        let (ins, outs) = (matrix.ins(), matrix.outs());
        let panels = outs.div_ceil(PANEL);
        let half = ins.next_multiple_of(PAIR) / 2;
        let mut split = Self {
            ins,
            outs,
            high: vec![0; panels * PANEL * half],
            low: vec![0; outs * half],
            scales: vec![0.0; panels * PANEL],
            high_sums: vec![0; panels * PANEL],
            low_means: vec![0.0; panels * PANEL],
            deviations: vec![0.0; panels],
        };
        let level = Level::best();
        split
            .high
            .par_chunks_mut(PANEL * half)
            .zip(split.low.par_chunks_mut(PANEL * half))
            .zip(split.scales.par_chunks_mut(PANEL))
            .zip(split.high_sums.par_chunks_mut(PANEL))
            .zip(split.low_means.par_chunks_mut(PANEL))
            .zip(&mut split.deviations)
            .enumerate()
            .for_each(
                |(index, (((((high, low), scales), high_sums), low_means), deviation))| {
                    let panel = matrix.panel(index);
                    scales.copy_from_slice(panel.scales);
                    let weights = panel.weights;
                    let sums = level.dispatch(SplitPanel { weights, high, low });
                    for (lane, scale) in scales.iter().enumerate() {
                        high_sums[lane] = (sums.bytes[lane] - sums.low[lane]) / 16;
                        let (mean, of_low) = sums.low(lane, 2 * half);
                        low_means[lane] = mean - LOW_MIDDLE as f32;
                        *deviation = deviation.max(scale * of_low);
                    }
                },
            );
        split
    }
}

/// A panel of bytes → its halves, and their sums.
struct SplitPanel<'a> {
    /// `(groups, PANEL, GROUP)`.
    weights: &'a [i8],
    /// `(pairs, PANEL, GROUP)`.
    high: &'a mut [u8],
    /// Up to [`PANEL`] outputs of `(pairs, GROUP)`.
    low: &'a mut [u8],
}

/// Sums over the weights of each output of a panel, as bytes and their lower halves.
struct HalfSums {
    bytes: [i32; PANEL],
    low: [i32; PANEL],
    low_squares: [i32; PANEL],
    /// Number of weights from −16 to 15.
    around_zero: [u32; PANEL],
}

impl HalfSums {
    /// The mean of the lower halves of the `count` weights of an output, and the standard deviation of what is left out
    /// where that stands for them, for inputs of length 1.
    fn low(&self, lane: usize, count: usize) -> (f32, f32) {
        let n = count as f32;
        let mean = self.low[lane] as f32 / n;
        let variance = self.low_squares[lane] as f32 / n - mean * mean;
        let deviation = variance.max(0.0).sqrt();
        // Around zero the lower halves follow the weights. In a row with an outlier nearly all are there, and what is left
        // out is no accident any more: inputs that are like the weights are like their lower halves. No inputs can make
        // more of them than this.
        if 4 * self.around_zero[lane] as usize > 3 * count {
            return (mean, deviation * n.sqrt() / DEVIATIONS);
        }
        (mean, deviation)
    }
}

impl Kernel for SplitPanel<'_> {
    type Output = HalfSums;

    #[inline(always)]
    fn run<I: Isa>(self) -> HalfSums {
        const BYTES: usize = PANEL * GROUP;
        let groups = self.weights.as_chunks::<BYTES>().0;
        let stride = self.high.len() / PANEL;
        let mut sums = [[0; BYTES]; 4];
        for (pair, high) in self.high.as_chunks_mut::<BYTES>().0.iter_mut().enumerate() {
            let first = &groups[2 * pair];
            let second = groups.get(2 * pair + 1).unwrap_or(&[0; BYTES]);
            let mut low = [0; BYTES];
            for at in 0..BYTES {
                // Adding 128 is turning the highest bit.
                let [a, b] = [first[at], second[at]].map(|byte| byte.cast_unsigned() ^ 0x80);
                high[at] = a >> 4 | b & 0xf0;
                low[at] = a & 15 | b << 4;
                for byte in [a, b] {
                    let (byte, low) = (i32::from(byte), i32::from(byte & 15));
                    sums[0][at] += byte;
                    sums[1][at] += low;
                    sums[2][at] += low * low;
                    sums[3][at] += i32::from(byte / 16 == 7 || byte / 16 == 8);
                }
            }
            let lanes = self.low.chunks_exact_mut(stride);
            for (out, low) in lanes.zip(low.as_chunks::<GROUP>().0) {
                out[pair * GROUP..][..GROUP].copy_from_slice(low);
            }
        }
        let of_lanes = |sums: [i32; BYTES]| {
            let mut of_lanes = [0; PANEL];
            for (sum, bytes) in of_lanes.iter_mut().zip(sums.as_chunks::<GROUP>().0) {
                *sum = bytes.iter().sum();
            }
            of_lanes
        };
        let [bytes, low, low_squares, around_zero] = sums.map(of_lanes);
        HalfSums {
            bytes,
            low,
            low_squares,
            around_zero: around_zero.map(i32::cast_unsigned),
        }
    }
}
