//! Self-attention on the host: keys and values of the tokens so far, and attention of new tokens to them.

use candle_core::{Device, Result, Tensor};

use super::attention::{CacheShape, attend_few};
use super::ops::with_slice;

/// Tokens that a row has room for once it is used: a spoken command and the start sequence. Room doubles from there.
const FIRST_ROOM: usize = 64;

/// Keys and values of one row in one layer, `(heads, room, head_width)` each, of which the first positions are filled.
/// A row that was never used has no memory.
#[derive(Debug, Default)]
pub(crate) struct TextKeys {
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Tokens that there is room for.
    room: usize,
}

impl TextKeys {
    /// Makes the first `length` positions those of `other`.
    pub(crate) fn copy_from(&mut self, other: &Self, shape: CacheShape, length: usize) {
        self.make_room(shape, 0, length);
        self.copy(other, shape, length);
    }

    /// Appends the keys and values of `qkv` (`(tokens, 3 * width)`) behind the first `length` positions, and returns
    /// the attention of each of these tokens to all positions up to its own: `(tokens, width)`.
    pub(super) fn append_and_attend(
        &mut self,
        qkv: &Tensor,
        shape: CacheShape,
        length: usize,
    ) -> Result<Tensor> {
        let tokens = qkv.dim(0)?;
        self.make_room(shape, length, length + tokens);
        let out = with_slice(qkv, |qkv| {
            self.append(qkv, shape, length);
            self.attend_causally(qkv, shape, length)
        })?;
        Tensor::from_vec(out, (tokens, shape.heads * shape.head_width), &Device::Cpu)
    }

    /// Room for `needed` tokens; the first `kept` stay.
    fn make_room(&mut self, shape: CacheShape, kept: usize, needed: usize) {
        if needed <= self.room {
            return;
        }
        let room = needed.max(2 * self.room).max(FIRST_ROOM);
        let values = shape.heads * room * shape.head_width;
        let mut larger = Self {
            keys: vec![0.0; values],
            values: vec![0.0; values],
            room,
        };
        larger.copy(self, shape, kept);
        *self = larger;
    }

    fn copy(&mut self, other: &Self, shape: CacheShape, length: usize) {
        for head in 0..shape.heads {
            let to = self.positions(shape, head, 0..length);
            let from = other.positions(shape, head, 0..length);
            self.keys[to.clone()].copy_from_slice(&other.keys[from.clone()]);
            self.values[to].copy_from_slice(&other.values[from]);
        }
    }

    /// Where the values of some positions of a head lie.
    fn positions(
        &self,
        shape: CacheShape,
        head: usize,
        positions: std::ops::Range<usize>,
    ) -> std::ops::Range<usize> {
        let at = |position| (head * self.room + position) * shape.head_width;
        at(positions.start)..at(positions.end)
    }

    fn append(&mut self, qkv: &[f32], shape: CacheShape, length: usize) {
        let width = shape.heads * shape.head_width;
        for (position, token) in (length..).zip(qkv.chunks_exact(3 * width)) {
            for head in 0..shape.heads {
                let to = self.positions(shape, head, position..position + 1);
                let from = head * shape.head_width;
                let part = |first: usize| &token[first + from..][..shape.head_width];
                self.keys[to.clone()].copy_from_slice(part(width));
                self.values[to].copy_from_slice(part(2 * width));
            }
        }
    }

    fn attend_causally(&self, qkv: &[f32], shape: CacheShape, length: usize) -> Vec<f32> {
        let width = shape.heads * shape.head_width;
        let mut out = Vec::with_capacity(qkv.len() / 3);
        for (position, token) in (length..).zip(qkv.chunks_exact(3 * width)) {
            for (head, query) in token[..width].chunks_exact(shape.head_width).enumerate() {
                let seen = self.positions(shape, head, 0..position + 1);
                let (keys, values) = (&self.keys[seen.clone()], &self.values[seen]);
                out.extend(attend_few(&[query], keys, values, None));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    const SHAPE: CacheShape = CacheShape {
        layers: 1,
        heads: 2,
        head_width: 3,
        tokens: 448,
        positions: 1500,
        number_type: DType::F32,
        has_fused: false,
    };

    fn qkv(tokens: std::ops::Range<usize>) -> Tensor {
        let value = |index: usize| ((index * 37) % 101) as f32 / 50.0 - 1.0;
        let values = (tokens.start * 18..tokens.end * 18).map(value).collect();
        Tensor::from_vec(values, (tokens.len(), 18), &Device::Cpu).unwrap()
    }

    #[test]
    fn rows_that_are_not_used_have_no_memory() {
        let row = TextKeys::default();
        assert_eq!(row.keys.capacity() + row.values.capacity(), 0);
    }

    #[test]
    fn room_grows_and_attention_stays_the_same() {
        let mut whole = TextKeys::default();
        let expected = whole.append_and_attend(&qkv(0..200), SHAPE, 0).unwrap();
        let mut parts = TextKeys::default();
        let mut found = Vec::new();
        for (first, behind) in [(0, 4), (4, 64), (64, 65), (65, 199), (199, 200)] {
            found.push(
                parts
                    .append_and_attend(&qkv(first..behind), SHAPE, first)
                    .unwrap(),
            );
        }
        let found = Tensor::cat(&found, 0).unwrap();
        assert_eq!(
            found.to_vec2::<f32>().unwrap(),
            expected.to_vec2::<f32>().unwrap()
        );
    }

    #[test]
    fn a_copy_attends_as_the_row_that_it_was_made_of() {
        let mut row = TextKeys::default();
        row.append_and_attend(&qkv(0..100), SHAPE, 0).unwrap();
        let mut copy = TextKeys::default();
        copy.copy_from(&row, SHAPE, 100);
        let next = [&mut row, &mut copy]
            .map(|row| row.append_and_attend(&qkv(100..101), SHAPE, 100).unwrap());
        let [expected, found] = next.map(|next| next.to_vec2::<f32>().unwrap());
        assert_eq!(found, expected);
    }
}
