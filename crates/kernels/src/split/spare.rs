//! Memory of estimates that are no longer needed.

use std::sync::{Mutex, PoisonError};

/// Rows that are kept: of five hypotheses and those that follow names.
const MOST: usize = 10;

/// Memory for the rows of estimates of each token. New memory would come from the system, page by page, and take a tenth
/// of the time of a token with five hypotheses.
#[derive(Debug, Default)]
pub(super) struct Spare(Mutex<Vec<Vec<f32>>>);

impl Spare {
    /// `count` values of no meaning.
    pub(super) fn take(&self, count: usize) -> Vec<f32> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut values = kept.unwrap_or_default();
        values.resize(count, 0.0);
        values
    }

    /// Keeps the memory of `values`, unless there is enough.
    pub(super) fn give(&self, values: Vec<f32>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if values.capacity() > 0 && kept.len() < MOST {
            kept.push(values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_and_is_bounded() {
        let spare = Spare::default();
        let values = spare.take(100);
        let at = values.as_ptr();
        spare.give(values);
        let again = spare.take(100);
        assert_eq!((again.as_ptr(), again.len()), (at, 100));
        (0..2 * MOST).for_each(|_| spare.give(vec![1.0; 10]));
        spare.give(Vec::new());
        assert_eq!(spare.0.lock().unwrap().len(), MOST);
    }
}
