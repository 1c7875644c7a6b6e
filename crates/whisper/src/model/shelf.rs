//! Keys and values on a device other than the host, where starting a kernel for every row costs more than computing.
//!
//! Those of all rows, and those of all audio, lie in one tensor for each layer, so that attention is one product for all
//! that have as many queries; who takes part in it is in [`plan`](super::plan).

use std::{collections::BTreeMap, ops::Range};

use candle_core::{Device, Result, Tensor, bail};

use super::{
    attention::{CacheShape, attend, split_heads, views_of_heads},
    fused,
    plan::{Group, Groups, Sight, Taker, Target},
    span::Span,
};

/// Keys and values of one layer for some slots: `(2, slots, heads, capacity, head_width)`.
#[derive(Debug)]
struct Shelf(Tensor);

impl Shelf {
    fn new(slots: usize, capacity: usize, shape: CacheShape, device: &Device) -> Result<Self> {
        let dims = (2, slots, shape.heads, capacity, shape.head_width);
        Tensor::zeros(dims, shape.number_type, device).map(Self)
    }

    /// A larger one with the same in it.
    fn grown(&self, slots: usize, capacity: usize) -> Result<Self> {
        let (_, now_slots, _, now_capacity, _) = self.0.dims5()?;
        self.0
            .pad_with_zeros(3, 0, capacity - now_capacity)?
            .pad_with_zeros(1, 0, slots - now_slots)?
            .contiguous()
            .map(Self)
    }

    /// Keys, or values: `(slots, heads, capacity, head_width)`.
    fn part(&self, part: usize, slots: Range<usize>) -> Result<Tensor> {
        self.0.get(part)?.narrow(0, slots.start, slots.len())
    }

    fn clear(&self, slots: Range<usize>) -> Result<()> {
        self.0.narrow(1, slots.start, slots.len())?.zero_set()
    }

    /// Fills a slot with keys and values, `(1, heads, positions, head_width)` each, and zeros behind them.
    fn put(&self, slot: usize, keys_values: [&Tensor; 2]) -> Result<()> {
        let capacity = self.0.dim(3)?;
        for (part, own) in keys_values.into_iter().enumerate() {
            let behind = capacity - own.dim(2)?;
            let own = own.pad_with_zeros(2, 0, behind)?.contiguous()?;
            self.part(part, slot..slot + 1)?.slice_set(&own, 0, 0)?;
        }
        Ok(())
    }

    /// Makes the first `length` positions of a slot those of another.
    fn copy(&self, from: usize, to: usize, length: usize) -> Result<()> {
        let copied = self.0.narrow(1, from, 1)?.narrow(3, 0, length)?;
        let copied = copied.force_contiguous()?;
        for part in 0..2 {
            let to = self.part(part, to..to + 1)?;
            to.slice_set(&copied.get(part)?, 2, 0)?;
        }
        Ok(())
    }

    /// Puts keys and values, `(slots, heads, queries, head_width)` each, at places of the same shape.
    fn append(&self, group: &Group, places: &Tensor, keys_values: [&Tensor; 2]) -> Result<()> {
        for (part, own) in keys_values.into_iter().enumerate() {
            let slots = group.first..group.first + group.slots;
            self.part(part, slots)?.scatter_set(places, own, 2)?;
        }
        Ok(())
    }

    /// `queries`: `(slots, heads, queries, head_width)`, of any gaps. Returns `(slots * queries, heads * head_width)`.
    fn attend(&self, group: &Group, queries: &Tensor) -> Result<Tensor> {
        let slots = group.first..group.first + group.slots;
        // Views: what was heard so far is not copied for each token.
        let front = |part| {
            self.part(part, slots.clone())?
                .narrow(2, 0, group.positions)
        };
        let [keys, values] = [front(0)?, front(1)?];
        let mask = match &group.sight {
            Sight::Counted(seen) => return fused::attend_few(queries, &keys, &values, seen),
            Sight::Masked(mask) => Some(mask),
            Sight::All => None,
        };
        attend(&queries.contiguous()?, &keys, &values, mask)
    }
}

/// The shelves of all layers, and who has which slot.
#[derive(Debug)]
pub(crate) struct Shelves {
    /// Made for all rows, with one position more than a row has tokens: what rows that take no part in a product would
    /// append goes there.
    text: Vec<Shelf>,
    /// Grow to the slots and positions that were needed. Item `i` has slot `i`.
    audio: Vec<Option<Shelf>>,
    /// Of each row. The rows of an item share the slots of the same numbers.
    slots: Vec<usize>,
    /// Positions of the audio of each item.
    heard: Vec<usize>,
    shape: CacheShape,
    device: Device,
}

/// Which tokens attend to what in one pass.
#[derive(Debug)]
pub(crate) struct Plan {
    text: Groups,
    /// Where each group of `text` appends, `(slots, heads, queries, head_width)`, unless that is what it sees last.
    places: Vec<Option<Tensor>>,
    audio: Groups,
}

impl Shelves {
    pub(crate) fn new(
        items: usize,
        rows: usize,
        shape: CacheShape,
        device: &Device,
    ) -> Result<Self> {
        let text = (0..shape.layers).map(|_| Shelf::new(rows, shape.tokens + 1, shape, device));
        Ok(Self {
            text: text.collect::<Result<_>>()?,
            audio: (0..shape.layers).map(|_| None).collect(),
            slots: (0..rows).collect(),
            heard: vec![0; items],
            shape,
            device: device.clone(),
        })
    }

    /// Forgets the text of all `rows` of an item. Not even a value that is not finite stays, since what a mask hides still
    /// takes part in sums, as zero times itself.
    pub(crate) fn clear(&self, rows: Range<usize>) -> Result<()> {
        self.text
            .iter()
            .try_for_each(|shelf| shelf.clear(rows.clone()))
    }

    /// Keys and values of the audio of some items in one layer: `(items * positions, 2 * width)`.
    pub(crate) fn hear(
        &mut self,
        layer: usize,
        items: &[usize],
        keys_values: &Tensor,
    ) -> Result<()> {
        let positions = keys_values.dim(0)? / items.len();
        let slots = items.iter().max().map_or(0, |item| item + 1);
        let [keys, values] = split_heads(keys_values, items.len(), self.shape.heads)?;
        let shelf = self.audio_shelf(layer, slots, positions)?;
        for (index, item) in items.iter().enumerate() {
            let own = |x: &Tensor| x.narrow(0, index, 1);
            shelf.put(*item, [&own(&keys)?, &own(&values)?])?;
        }
        for item in items {
            self.heard[*item] = positions;
        }
        Ok(())
    }

    /// Makes the room that all items need with the longest audio.
    pub(crate) fn reserve(&mut self) -> Result<()> {
        for layer in 0..self.shape.layers {
            self.audio_shelf(layer, self.heard.len(), self.shape.positions)?;
        }
        Ok(())
    }

    /// One with as much room at least. What grows is doubled, so that it seldom does.
    fn audio_shelf(&mut self, layer: usize, slots: usize, positions: usize) -> Result<&Shelf> {
        let grown = |now: usize, needed: usize, most: usize| {
            if needed <= now {
                now
            } else {
                needed.max((2 * now).min(most))
            }
        };
        let shelf = match &self.audio[layer] {
            None => Shelf::new(slots, positions, self.shape, &self.device)?,
            Some(shelf) => {
                let (_, now_slots, _, now_positions, _) = shelf.0.dims5()?;
                shelf.grown(
                    grown(now_slots, slots, self.heard.len()),
                    grown(now_positions, positions, self.shape.positions),
                )?
            }
        };
        Ok(self.audio[layer].insert(shelf))
    }

    pub(crate) fn copy(&self, from: usize, to: usize, length: usize) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let (from, to) = (self.slots[from], self.slots[to]);
        self.text
            .iter()
            .try_for_each(|shelf| shelf.copy(from, to, length))
    }

    /// Each of two rows has what the other had.
    pub(crate) fn swap(&mut self, a: usize, b: usize) {
        self.slots.swap(a, b);
    }

    /// `item_of`: the item of a row.
    pub(crate) fn plan(
        &self,
        spans: &[Span<'_>],
        item_of: impl Fn(usize) -> usize,
    ) -> Result<Plan> {
        let mut first = 0;
        let mut lengths = vec![0; self.slots.len()];
        let mut text = Vec::with_capacity(spans.len());
        let mut of_items: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for span in spans {
            let slot = self.slots[span.row];
            let count = u32::try_from(span.tokens.len())?;
            let rows: Vec<u32> = (first..first + count).collect();
            first += count;
            lengths[slot] = span.length;
            of_items.entry(item_of(span.row)).or_default().extend(&rows);
            text.push(Taker { slot, rows });
        }
        let audio = of_items
            .into_iter()
            .map(|(slot, rows)| Taker { slot, rows })
            .collect();
        let target = Target {
            number_type: self.shape.number_type,
            has_fused: self.shape.has_fused,
            device: &self.device,
        };
        // A token sees those before it and itself.
        let seen = |slot: usize, query: usize| lengths[slot] + query + 1;
        let text = Groups::new(text, seen, target)?;
        let heard = |slot: usize, _| self.heard[slot];
        Ok(Plan {
            places: text
                .iter()
                .map(|group| self.places(group))
                .collect::<Result<_>>()?,
            text,
            audio: Groups::new(audio, heard, target)?,
        })
    }

    fn places(&self, group: &Group) -> Result<Option<Tensor>> {
        if matches!(group.sight, Sight::Counted(_)) {
            return Ok(None);
        }
        let places = group.places(self.shape.tokens, &self.device)?;
        let (slots, _, queries, _) = places.dims4()?;
        let dims = (slots, self.shape.heads, queries, self.shape.head_width);
        places.broadcast_as(dims)?.contiguous().map(Some)
    }

    /// Appends the keys and values of `qkv` (`(tokens, 3 * width)`), and returns the attention of each of these tokens to
    /// those before it and itself: `(tokens, width)`.
    pub(crate) fn attend_to_text(&self, qkv: &Tensor, layer: usize, plan: &Plan) -> Result<Tensor> {
        let shelf = &self.text[layer];
        plan.text.attend(qkv, |index, group, qkv| {
            if let Sight::Counted(seen) = &group.sight {
                let own = shelf.0.narrow(1, group.first, group.slots)?;
                return fused::append_and_attend(qkv, &own, seen);
            }
            let [queries, keys, values] = split_heads(qkv, group.slots, self.shape.heads)?;
            if let Some(places) = &plan.places[index] {
                shelf.append(group, places, [&keys, &values])?;
            }
            shelf.attend(group, &queries)
        })
    }

    /// Attention of `queries` (`(tokens, width)`) to the audio of their items.
    pub(crate) fn attend_to_audio(
        &self,
        queries: &Tensor,
        layer: usize,
        plan: &Plan,
    ) -> Result<Tensor> {
        let Some(shelf) = &self.audio[layer] else {
            bail!("no audio was heard");
        };
        plan.audio.attend(queries, |_, group, queries| {
            let queries = views_of_heads(queries, group.slots, self.shape.heads)?;
            shelf.attend(group, &queries)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    /// `spans`: row, tokens before, new tokens. Two rows for each item. Returns how many products there are over text and
    /// over audio in a layer.
    fn products(shelves: &Shelves, spans: &[(usize, usize, &[u32])]) -> [usize; 2] {
        let spans: Vec<Span<'_>> = spans
            .iter()
            .map(|&(row, length, tokens)| Span {
                row,
                length,
                tokens,
            })
            .collect();
        let plan = shelves.plan(&spans, |row| row / 2).unwrap();
        [&plan.text, &plan.audio].map(|groups| groups.iter().count())
    }

    #[test]
    fn a_step_of_many_rows_is_one_product() {
        let shape = CacheShape {
            layers: 1,
            heads: 2,
            head_width: 4,
            tokens: 8,
            positions: 6,
            number_type: DType::F32,
            has_fused: false,
        };
        let mut shelves = Shelves::new(4, 8, shape, &Device::Cpu).unwrap();
        for (item, positions) in [(0, 3), (2, 6), (1, 5)] {
            let audio = Tensor::zeros((positions, 16), DType::F32, &Device::Cpu).unwrap();
            shelves.hear(0, &[item], &audio).unwrap();
        }
        let step = |row, length| (row, length, &[7][..]);
        let all: Vec<_> = (0..6).map(|row| step(row, row)).collect();
        assert_eq!(products(&shelves, &all), [1, 1]);
        // Items with one row and with two, and a prompt beside them.
        let some = [step(0, 3), step(2, 4), step(3, 4), (4, 0, &[7, 8, 9][..])];
        assert_eq!(products(&shelves, &some), [2, 3]);
        shelves.swap(0, 1);
        assert_eq!(products(&shelves, &all), [1, 1]);
    }
}
