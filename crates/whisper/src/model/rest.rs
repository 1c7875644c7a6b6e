//! What stands for the padding of a window that the encoder does not read.
//!
//! The model was trained on windows of 30 s, most of which is padding behind a short sentence, and its attention rests
//! on it: without it, words are lost. But all padding looks alike except for its place. So a short window is followed
//! by a few places of the rest, evenly spread, each of which [counts](Repeats) as often as there are positions of the
//! rest for one of them:
//!
//! ```text
//! whole window   audio | padding · · · · · · · · · · · · · · · · · · · · · · · ·     1500 positions
//! read here      audio | margin      ×18      ×18      ×18      ×18      ×18        200 and 64 positions
//! ```

use kernels::Repeats;

use super::FRAMES_PER_POSITION;

/// Places of the rest: two tiles of the matrix kernels. Of 60 orders (tiny.en, f32) 54 have the words of the whole window
/// with one place for every 16 positions, 51 with one for 32 (and half of the margin), 48 with one for 64.
const PLACES: usize = 64;

/// Padding from a position to the end of a whole window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Positions before it, a multiple of 32.
    from: usize,
    positions: usize,
}

impl Rest {
    /// What lies behind the first `frames` of `whole` frames; `None` where reading it costs hardly more than standing
    /// for it, or where the kernels cannot begin it.
    pub(crate) fn behind(frames: usize, whole: usize) -> Option<Self> {
        let from = frames / FRAMES_PER_POSITION;
        let positions = whole.saturating_sub(frames) / FRAMES_PER_POSITION;
        let is_worth = positions >= 2 * PLACES;
        (is_worth && from.is_multiple_of(32) && from >= 32).then_some(Self { from, positions })
    }

    /// How many positions stand for it.
    pub(crate) const COUNT: usize = PLACES;

    /// Which they are, of the whole window: the middle of each part.
    pub(super) fn places(self) -> Vec<u32> {
        let middle = |place: usize| {
            let twice = (2 * place + 1) * self.positions / PLACES;
            u32::try_from(self.from + twice / 2)
        };
        (0..PLACES).filter_map(|place| middle(place).ok()).collect()
    }

    /// How often each counts.
    pub(crate) fn repeats(self) -> Repeats {
        Repeats {
            from: self.from,
            times: self.positions as f32 / PLACES as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_over_the_rest_and_count_for_all_of_it() {
        for frames in (64..2_744).step_by(64) {
            let rest = Rest::behind(frames, 3_000).unwrap();
            let places = rest.places();
            assert_eq!(places.len(), Rest::COUNT);
            assert!(places.is_sorted_by(|a, b| a < b), "{frames}: {places:?}");
            assert!(places[0] as usize >= frames / 2, "{frames}: {places:?}");
            assert!(places[PLACES - 1] < 1_500, "{frames}: {places:?}");
            let counted = rest.repeats().times * PLACES as f32;
            let expected = (3_000 - frames) as f32 / 2.0;
            assert!((counted - expected).abs() < 0.01, "{frames}: {counted}");
        }
    }

    #[test]
    fn a_short_rest_is_read() {
        assert_eq!(Rest::behind(3_000, 3_000), None);
        assert_eq!(Rest::behind(2_816, 3_000), None);
        assert!(Rest::behind(2_688, 3_000).is_some());
    }
}
