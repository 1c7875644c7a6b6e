//! Blocks of 256 numbers, whose groups of 16 or 32 have scales of a few bits under the block's own.

use super::{LONG, half_at};

/// Two bits a number; scale and minimum of each group of 16 in one byte.
pub(super) fn q2(block: &[u8; 84], values: &mut [f32; LONG]) {
    let (scales, twos) = (&block[..16], &block[16..80]);
    let (scale, least) = (half_at(block, 80), half_at(block, 82));
    for (at, value) in values.iter_mut().enumerate() {
        let group = scales[at / 16];
        let number = two_bits(twos, at);
        *value = scale * f32::from(group & 15) * f32::from(number) - least * f32::from(group >> 4);
    }
}

/// Two bits and a third one elsewhere; a scale of six bits for each group of 16.
pub(super) fn q3(block: &[u8; 110], values: &mut [f32; LONG]) {
    let (thirds, twos, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half_at(block, 108);
    for (at, value) in values.iter_mut().enumerate() {
        let third = thirds[at % 32] >> (at / 32) & 1;
        let number = f32::from(two_bits(twos, at) | third << 2) - 4.0;
        *value = scale * six_bits(scales, at / 16) * number;
    }
}

/// Each half of a block has 32 bytes, with a number of the first 32 in their lowest two bits, and so on.
fn two_bits(bytes: &[u8], at: usize) -> u8 {
    let (half, within) = (at / 128, at % 128);
    bytes[32 * half + within % 32] >> (2 * (within / 32)) & 3
}

/// Four bits of each in the first eight bytes, two in the last four.
fn six_bits(scales: &[u8], group: usize) -> f32 {
    let lower = scales[group % 8] >> (4 * (group / 8)) & 15;
    let upper = scales[8 + group % 4] >> (2 * (group / 4)) & 3;
    f32::from(lower | upper << 4) - 32.0
}

/// Four bits a number; scale and minimum of six bits for each group of 32.
pub(super) fn q4(block: &[u8; 144], values: &mut [f32; LONG]) {
    let groups = Groups::new(block);
    for (at, value) in values.iter_mut().enumerate() {
        *value = groups.value(at, four_bits(&block[16..], at));
    }
}

/// As `q4`, with a fifth bit in front.
pub(super) fn q5(block: &[u8; 176], values: &mut [f32; LONG]) {
    let groups = Groups::new(block);
    let (fifths, fours) = (&block[16..48], &block[48..]);
    for (at, value) in values.iter_mut().enumerate() {
        let fifth = fifths[at % 32] >> (at / 32) & 1;
        *value = groups.value(at, four_bits(fours, at) | fifth << 4);
    }
}

/// 32 bytes for 64 numbers: the lower halves, then the upper ones.
fn four_bits(bytes: &[u8], at: usize) -> u8 {
    bytes[32 * (at / 64) + at % 32] >> (4 * (at / 32 % 2)) & 15
}

/// Scale and minimum of each group of `q4` and `q5`.
struct Groups {
    scales: [f32; 8],
    least: [f32; 8],
}

impl Groups {
    /// Of a block that begins with scale, minimum and the twelve bytes for its groups.
    fn new(block: &[u8]) -> Self {
        let (scale, least) = (half_at(block, 0), half_at(block, 2));
        let packed = &block[4..16];
        let mut groups = Self {
            scales: [0.0; 8],
            least: [0.0; 8],
        };
        for group in 0..4 {
            groups.scales[group] = scale * f32::from(packed[group] & 63);
            groups.least[group] = least * f32::from(packed[group + 4] & 63);
            // The other four have four bits in the last bytes, and two at the top of the first ones.
            let (upper, fours) = (packed[group] >> 6, packed[group + 8]);
            groups.scales[group + 4] = scale * f32::from(fours & 15 | upper << 4);
            let upper = packed[group + 4] >> 6;
            groups.least[group + 4] = least * f32::from(fours >> 4 | upper << 4);
        }
        groups
    }

    fn value(&self, at: usize, number: u8) -> f32 {
        self.scales[at / 32] * f32::from(number) - self.least[at / 32]
    }
}

/// Six bits a number; a signed byte for the scale of each group of 16.
pub(super) fn q6(block: &[u8; 210], values: &mut [f32; LONG]) {
    let (fours, twos, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half_at(block, 208);
    for (at, value) in values.iter_mut().enumerate() {
        let (half, within) = (at / 128, at % 128);
        let lower = fours[64 * half + within % 64] >> (4 * (within / 64)) & 15;
        let number = f32::from(lower | two_bits(twos, at) << 4) - 32.0;
        *value = scale * f32::from(scales[at / 16].cast_signed()) * number;
    }
}
