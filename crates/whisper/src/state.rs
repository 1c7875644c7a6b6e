//! What decoding remembers between two steps, apart from the weights.

use candle_core::Device;

use crate::model::{
    ModelError,
    attention::{AudioKeys, TextKeys, TextShape},
};

/// Key and value caches of the rows of one batch.
///
/// An item is one audio window; its rows (beams, samples of a fallback) share its cross-attention keys and values and
/// have their own self-attention caches, preallocated for the longest text.
#[derive(Debug)]
pub struct State {
    items: Vec<Vec<AudioKeys>>,
    rows: Vec<Row>,
    rows_per_item: usize,
    shape: TextShape,
}

#[derive(Debug)]
struct Row {
    length: usize,
    layers: Vec<TextKeys>,
}

/// Tokens that a pass appends to one row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) row: usize,
    /// Tokens that the row already has.
    pub(crate) length: usize,
    pub(crate) tokens: &'a [u32],
}

impl State {
    pub(crate) fn new(
        items: Vec<Vec<AudioKeys>>,
        rows_per_item: usize,
        shape: TextShape,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let layers = items.first().map_or(0, Vec::len);
        let room = Self::with_room(items.len(), layers, rows_per_item, shape, device)?;
        Ok(Self { items, ..room })
    }

    /// As [`State::new`], for `items` that are yet to come: each is [filled](State::fill) before it is used.
    pub(crate) fn with_room(
        items: usize,
        layers: usize,
        rows_per_item: usize,
        shape: TextShape,
        device: &Device,
    ) -> candle_core::Result<Self> {
        let row = || {
            let layers = (0..layers).map(|_| TextKeys::new(shape, device));
            Ok(Row {
                length: 0,
                layers: layers.collect::<candle_core::Result<_>>()?,
            })
        };
        Ok(Self {
            items: (0..items).map(|_| Vec::new()).collect(),
            rows: (0..items * rows_per_item)
                .map(|_| row())
                .collect::<candle_core::Result<_>>()?,
            rows_per_item,
            shape,
        })
    }

    /// Puts other audio in the place of an item's, and forgets the tokens of its rows.
    pub(crate) fn fill(&mut self, item: usize, audio: Vec<AudioKeys>) {
        for row in self.rows_of(item) {
            self.clear(row);
        }
        if let Some(place) = self.items.get_mut(item) {
            *place = audio;
        }
    }

    /// The rows of an item.
    pub(crate) fn rows_of(&self, item: usize) -> std::ops::Range<usize> {
        let first = item * self.rows_per_item;
        first..first + self.rows_per_item
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Rows that share one item's audio.
    pub fn rows_per_item(&self) -> usize {
        self.rows_per_item
    }

    /// Tokens in `row`; 0 for a row that does not exist.
    pub fn len(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |row| row.length)
    }

    /// Whether no token is in `row`.
    pub fn is_empty(&self, row: usize) -> bool {
        self.len(row) == 0
    }

    /// Most tokens that a row can hold.
    pub fn capacity(&self) -> usize {
        self.shape.capacity
    }

    /// Forgets the tokens of `row`; its audio stays.
    pub fn clear(&mut self, row: usize) {
        self.truncate(row, 0);
    }

    /// Forgets the tokens of `row` from position `length` on.
    pub fn truncate(&mut self, row: usize, length: usize) {
        if let Some(row) = self.rows.get_mut(row) {
            row.length = row.length.min(length);
        }
    }

    /// Makes `to` a copy of `from`; both are rows of one item.
    ///
    /// # Errors
    /// [`ModelError::NoSuchRow`] or [`ModelError::OtherItem`]; nothing has changed then.
    pub fn copy_row(&mut self, from: usize, to: usize) -> Result<(), ModelError> {
        self.check_same_item(from, to)?;
        let Ok([from, to]) = self.rows.get_disjoint_mut([from, to]) else {
            // Both exist, so they are the same row.
            return Ok(());
        };
        to.copy_from(from, self.shape)
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
                self.rows.swap(target, source);
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

    pub(crate) fn text_shape(&self) -> TextShape {
        self.shape
    }

    /// The self-attention cache of a row that exists.
    pub(crate) fn text(&mut self, row: usize, layer: usize) -> &mut TextKeys {
        &mut self.rows[row].layers[layer]
    }

    /// The cross-attention keys and values of a row that exists.
    pub(crate) fn audio(&self, row: usize, layer: usize) -> &AudioKeys {
        &self.items[self.item_of(row)][layer]
    }

    pub(crate) fn item_of(&self, row: usize) -> usize {
        row / self.rows_per_item
    }

    /// Counts tokens that a pass has appended.
    pub(crate) fn grow(&mut self, spans: &[Span<'_>]) {
        for span in spans {
            self.rows[span.row].length = span.length + span.tokens.len();
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

impl Row {
    fn copy_from(&mut self, other: &Self, shape: TextShape) -> Result<(), ModelError> {
        for (to, from) in self.layers.iter_mut().zip(&other.layers) {
            to.copy_from(from, shape, other.length)
                .map_err(|source| ModelError::Compute {
                    operation: "copying a row's cache",
                    source,
                })?;
        }
        self.length = other.length;
        Ok(())
    }
}
