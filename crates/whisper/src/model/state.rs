//! What decoding remembers between two steps, apart from the weights.

use std::ops::Range;

use candle_core::{Device, Tensor};
use kernels::Repeats;

use super::{
    ModelError, are_host,
    attention::{AudioKeys, CacheShape},
    shelf::{Plan, Shelves},
    span::Span,
    text_keys::TextKeys,
};
use crate::precision::Arithmetic;

/// Key and value caches of the rows of one batch.
///
/// An item is one audio window; its rows (beams, samples of a fallback) share its cross-attention keys and values and
/// have their own self-attention caches: on the host they grow with the text, elsewhere they have room for the longest.
#[derive(Debug)]
pub struct State {
    rows_per_item: usize,
    /// Tokens of each row.
    lengths: Vec<usize>,
    caches: Caches,
    shape: CacheShape,
}

#[derive(Debug)]
enum Caches {
    Host(HostCaches),
    /// On another device those of all rows and items are together.
    Shelves(Shelves),
}

/// The caches as one pass over some spans uses them.
pub(crate) enum PassCaches<'a> {
    Host(&'a mut HostCaches),
    Shelves(&'a Shelves, Plan),
}

#[derive(Debug)]
pub(crate) struct HostCaches {
    /// Of each item, by layer.
    audio: Vec<Vec<AudioKeys>>,
    /// Of each row, by layer.
    text: Vec<Vec<TextKeys>>,
    rows_per_item: usize,
    shape: CacheShape,
}

impl State {
    /// For items that are yet to come: each is [heard](State::hear) before its rows are used.
    pub(crate) fn with_room(
        items: usize,
        rows_per_item: usize,
        shape: CacheShape,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let rows = items * rows_per_item;
        let caches = if are_host(shape.number_type, device) {
            let of_row = || (0..shape.layers).map(|_| TextKeys::default()).collect();
            Caches::Host(HostCaches {
                audio: (0..items).map(|_| Vec::new()).collect(),
                text: (0..rows).map(|_| of_row()).collect(),
                rows_per_item,
                shape,
            })
        } else {
            Caches::Shelves(Shelves::new(items, rows, shape, device)?)
        };
        Ok(Self {
            rows_per_item,
            lengths: vec![0; rows],
            caches,
            shape,
        })
    }

    /// Makes the room that all items need with the longest audio, where it is not made for each when it comes.
    pub(crate) fn reserve(&mut self) -> candle_core::Result<()> {
        match &mut self.caches {
            Caches::Shelves(shelves) => shelves.reserve(),
            Caches::Host(_) => Ok(()),
        }
    }

    /// Forgets the audio of an item and the tokens of its rows.
    pub(crate) fn forget(&mut self, item: usize) {
        for row in self.rows_of(item) {
            self.clear(row);
        }
        if let Caches::Host(caches) = &mut self.caches {
            caches.audio[item] = Vec::new();
        }
    }

    /// As [`State::forget`], for audio that follows at once.
    pub(crate) fn make_way(&mut self, item: usize) -> candle_core::Result<()> {
        self.forget(item);
        let rows = self.rows_of(item);
        match &mut self.caches {
            Caches::Host(_) => Ok(()),
            Caches::Shelves(shelves) => shelves.clear(rows),
        }
    }

    /// Takes the keys and values of the audio of some items in one layer, which must be the next one since
    /// [way was made](State::make_way) for them: `(items * positions, 2 * width)`.
    pub(crate) fn hear(
        &mut self,
        layer: usize,
        items: &[usize],
        keys_values: &Tensor,
        repeats: Option<Repeats>,
        arithmetic: Arithmetic,
    ) -> candle_core::Result<()> {
        match &mut self.caches {
            Caches::Shelves(shelves) => shelves.hear(layer, items, keys_values),
            Caches::Host(caches) => {
                let positions = keys_values.dim(0)? / items.len();
                for (index, item) in items.iter().enumerate() {
                    let own = keys_values.narrow(0, index * positions, positions)?;
                    let keys = AudioKeys::new(&own, self.shape.heads, repeats, arithmetic)?;
                    caches.audio[*item].push(keys);
                }
                Ok(())
            }
        }
    }

    /// The rows of an item.
    pub(crate) fn rows_of(&self, item: usize) -> Range<usize> {
        let first = item * self.rows_per_item;
        first..first + self.rows_per_item
    }

    /// Heads of attention.
    pub(crate) fn heads(&self) -> usize {
        self.shape.heads
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Rows that share one item's audio.
    pub fn rows_per_item(&self) -> usize {
        self.rows_per_item
    }

    /// Tokens in `row`; 0 for a row that does not exist.
    pub fn len(&self, row: usize) -> usize {
        self.lengths.get(row).copied().unwrap_or(0)
    }

    /// Whether no token is in `row`.
    pub fn is_empty(&self, row: usize) -> bool {
        self.len(row) == 0
    }

    /// Most tokens that a row can hold.
    pub fn capacity(&self) -> usize {
        self.shape.tokens
    }

    /// Forgets the tokens of `row`; its audio stays.
    pub fn clear(&mut self, row: usize) {
        self.truncate(row, 0);
    }

    /// Forgets the tokens of `row` from position `length` on.
    pub fn truncate(&mut self, row: usize, length: usize) {
        if let Some(of_row) = self.lengths.get_mut(row) {
            *of_row = length.min(*of_row);
        }
    }

    /// Makes `to` a copy of `from`; both are rows of one item.
    ///
    /// # Errors
    /// [`ModelError::NoSuchRow`] or [`ModelError::OtherItem`]; nothing has changed then.
    pub fn copy_row(&mut self, from: usize, to: usize) -> Result<(), ModelError> {
        self.check_same_item(from, to)?;
        let length = self.lengths[from];
        match &mut self.caches {
            Caches::Shelves(_) if from == to => {}
            Caches::Shelves(shelves) => {
                shelves
                    .copy(from, to, length)
                    .map_err(|source| ModelError::Compute {
                        operation: "copying a row's cache",
                        source,
                    })?;
            }
            Caches::Host(caches) => caches.copy(from, to, length),
        }
        self.lengths[to] = length;
        Ok(())
    }

    /// Beams: row `first + i` becomes what row `sources[i]` was, for all `i` at once. All are rows of one item.
    ///
    /// # Errors
    /// [`ModelError::NoSuchRow`] or [`ModelError::OtherItem`]; nothing has changed then.
    pub fn reorder(&mut self, first: usize, sources: &[usize]) -> Result<(), ModelError> {
        let targets = first..first + sources.len();
        for (target, source) in targets.clone().zip(sources) {
            self.check_same_item(*source, target)?;
        }
        // Order matters: a row may only be overwritten when nothing is left to copy from it. Copies go in an order
        // where the target is no source any more; what remains are cycles, which are swaps.
        let mut pending: Vec<(usize, usize)> = targets
            .zip(sources.iter().copied())
            .filter(|(target, source)| target != source)
            .collect();
        while let Some(&(target, source)) = pending.first() {
            let unread = pending
                .iter()
                .position(|(target, _)| pending.iter().all(|(_, source)| source != target));
            if let Some(index) = unread {
                let (target, source) = pending.swap_remove(index);
                self.copy_row(source, target)?;
            } else {
                // What `target` was is now in `source`, and the other way round.
                self.swap(target, source);
                pending.remove(0);
                for (_, other) in &mut pending {
                    if *other == target {
                        *other = source;
                    }
                }
                pending.retain(|(target, source)| target != source);
            }
        }
        Ok(())
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.lengths.swap(a, b);
        match &mut self.caches {
            Caches::Host(caches) => caches.text.swap(a, b),
            Caches::Shelves(shelves) => shelves.swap(a, b),
        }
    }

    /// What a pass over these spans, of rows that exist, attends with.
    pub(crate) fn caches(&mut self, spans: &[Span<'_>]) -> candle_core::Result<PassCaches<'_>> {
        let rows_per_item = self.rows_per_item;
        match &mut self.caches {
            Caches::Host(caches) => Ok(PassCaches::Host(caches)),
            Caches::Shelves(shelves) => {
                let plan = shelves.plan(spans, |row| row / rows_per_item)?;
                Ok(PassCaches::Shelves(shelves, plan))
            }
        }
    }

    fn item_of(&self, row: usize) -> usize {
        row / self.rows_per_item
    }

    /// Counts tokens that a pass has appended.
    pub(crate) fn grow(&mut self, spans: &[Span<'_>]) {
        for span in spans {
            self.lengths[span.row] = span.length + span.tokens.len();
        }
    }

    fn check_same_item(&self, a: usize, b: usize) -> Result<(), ModelError> {
        let rows = self.rows();
        if let Some(row) = [a, b].into_iter().find(|row| *row >= rows) {
            return Err(ModelError::NoSuchRow { row, rows });
        }
        if self.item_of(a) == self.item_of(b) {
            Ok(())
        } else {
            Err(ModelError::OtherItem { from: a, to: b })
        }
    }
}

impl HostCaches {
    /// The self-attention cache of a row that exists.
    pub(crate) fn text(&mut self, row: usize, layer: usize) -> &mut TextKeys {
        &mut self.text[row][layer]
    }

    /// The cross-attention keys and values of a row that exists.
    pub(crate) fn audio(&self, row: usize, layer: usize) -> &AudioKeys {
        &self.audio[self.item_of(row)][layer]
    }

    pub(crate) fn item_of(&self, row: usize) -> usize {
        row / self.rows_per_item
    }

    pub(crate) fn shape(&self) -> CacheShape {
        self.shape
    }

    fn copy(&mut self, from: usize, to: usize, length: usize) {
        // An error if they are the same row.
        if let Ok([from, to]) = self.text.get_disjoint_mut([from, to]) {
            for (to, from) in to.iter_mut().zip(from) {
                to.copy_from(from, self.shape, length);
            }
        }
    }
}
