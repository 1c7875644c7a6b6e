//! Which tokens attend to what in a pass, on a device other than the host.
//!
//! There the keys and values of all rows, and those of all audio, lie in the slots of one [`Shelf`](super::shelf::Shelf).
//! Slots with as many queries attend in one product, over a run of neighbours:
//!
//! ```text
//! slots      0     1     2     3     4        rows of the pass: 1 token, 3, 1, 1
//! queries    1     3     –     1     1   ──▶  run of 0 to 4 with one query each, where 1 and 2 take no part
//!                                             run of 1 with three queries
//! ```
//!
//! What slots that take no part give is thrown away: a GPU rather computes it than starts a kernel for every row.

use candle_core::{DType, Device, Result, Tensor};

use super::{attention::join, fused};

/// Slots of a run for each that takes part, at most: more would read more of what is thrown away than of what is kept.
const SLOTS_PER_TAKER: usize = 2;

/// A slot that takes part, and which rows of the pass are its queries.
#[derive(Debug)]
pub(super) struct Taker {
    pub(super) slot: usize,
    pub(super) rows: Vec<u32>,
}

/// Neighbouring slots that attend in one product.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    first: usize,
    /// Of each slot.
    queries: usize,
    /// The rows of each slot; nothing for one that takes no part.
    slots: Vec<Option<Vec<u32>>>,
}

/// Pure.
fn runs(mut takers: Vec<Taker>) -> Vec<Run> {
    takers.sort_by_key(|taker| (taker.rows.len(), taker.slot));
    let mut runs: Vec<Run> = Vec::new();
    for Taker { slot, rows } in takers {
        match runs.last_mut() {
            Some(run) if run.has_room_for(slot, rows.len()) => {
                run.slots.resize(slot - run.first, None);
                run.slots.push(Some(rows));
            }
            _ => runs.push(Run {
                first: slot,
                queries: rows.len(),
                slots: vec![Some(rows)],
            }),
        }
    }
    runs
}

impl Run {
    /// `slot`: behind those that it has.
    fn has_room_for(&self, slot: usize, queries: usize) -> bool {
        let takers = self.slots.iter().flatten().count() + 1;
        queries == self.queries && slot + 1 - self.first <= SLOTS_PER_TAKER * takers
    }

    /// The row of each query, slot by slot.
    fn rows(&self) -> impl Iterator<Item = Option<u32>> {
        self.slots.iter().flat_map(|slot| {
            (0..self.queries).map(move |query| slot.as_ref().map(|rows| rows[query]))
        })
    }

    /// Each query's slot and its number in there, for those that take part.
    fn queries(&self) -> impl Iterator<Item = Option<(usize, usize)>> {
        (self.first..).zip(&self.slots).flat_map(|(slot, rows)| {
            (0..self.queries).map(move |query| rows.is_some().then_some((slot, query)))
        })
    }
}

/// A run, with what its product needs on the device.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) first: usize,
    pub(super) slots: usize,
    /// How many positions each query sees; nothing for a slot that takes no part.
    seen: Vec<Option<usize>>,
    /// The most of these.
    pub(super) positions: usize,
    pub(super) sight: Sight,
    rows: Rows,
}

/// What the queries of a group see of its positions.
#[derive(Debug)]
pub(super) enum Sight {
    /// All see all.
    All,
    /// `(slots, 1, queries, positions)`: 0 for what a query sees, −∞ behind it.
    Masked(Tensor),
    /// `(slots * queries)` in u32: how many of the first ones, for [kernels of our own](fused::attend_few).
    Counted(Tensor),
}

/// What groups of a model are made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) number_type: DType,
    pub(super) has_fused: bool,
    pub(super) device: &'a Device,
}

/// The rows of the pass that a group reads.
#[derive(Debug)]
enum Rows {
    Neighbours { first: usize, count: usize },
    Picked(Tensor),
}

impl Group {
    /// `seen`: how many positions the query of a slot sees.
    fn new(run: &Run, seen: impl Fn(usize, usize) -> usize, target: Target<'_>) -> Result<Self> {
        let seen: Vec<Option<usize>> = run
            .queries()
            .map(|query| query.map(|(slot, query)| seen(slot, query)))
            .collect();
        let positions = seen.iter().flatten().copied().max().unwrap_or(0);
        Ok(Self {
            first: run.first,
            slots: run.slots.len(),
            sight: Sight::new(&seen, positions, run, target)?,
            seen,
            positions,
            rows: Rows::new(run, target.device)?,
        })
    }

    /// The last position that each query sees, `(slots, 1, queries, 1)`; `nowhere` for slots that take no part.
    pub(super) fn places(&self, nowhere: usize, device: &Device) -> Result<Tensor> {
        let places: Vec<u32> = self
            .seen
            .iter()
            .map(|seen| seen.map_or(nowhere, |seen| seen.saturating_sub(1)))
            .filter_map(|place| u32::try_from(place).ok())
            .collect();
        let queries = self.seen.len() / self.slots;
        Tensor::from_vec(places, (self.slots, 1, queries, 1), device)
    }

    /// Of the rows of a pass those that it reads, slot by slot: `(slots * queries, width)`.
    fn pick(&self, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            Rows::Neighbours { first, count } => x.narrow(0, *first, *count),
            Rows::Picked(rows) => x.index_select(rows, 0),
        }
    }
}

impl Sight {
    fn new(
        seen: &[Option<usize>],
        positions: usize,
        run: &Run,
        target: Target<'_>,
    ) -> Result<Self> {
        if target.has_fused && fused::are_few(run.queries) {
            let count = |seen: &Option<usize>| Ok(u32::try_from(seen.unwrap_or(0))?);
            let counts: Vec<u32> = seen.iter().map(count).collect::<Result<_>>()?;
            return Tensor::new(counts, target.device).map(Self::Counted);
        }
        let Some(hidden) = hidden(seen, positions) else {
            return Ok(Self::All);
        };
        let dims = (run.slots.len(), 1, run.queries, positions);
        Tensor::from_vec(hidden, dims, target.device)?
            .to_dtype(target.number_type)
            .map(Self::Masked)
    }
}

/// What is added to the scores; nothing where all see all.
fn hidden(seen: &[Option<usize>], positions: usize) -> Option<Vec<f32>> {
    if seen.iter().flatten().all(|seen| *seen == positions) {
        return None;
    }
    let of_query = |seen: &Option<usize>| {
        let seen = seen.unwrap_or(positions);
        (0..positions).map(move |position| {
            if position < seen {
                0.0
            } else {
                f32::NEG_INFINITY
            }
        })
    };
    Some(seen.iter().flat_map(of_query).collect())
}

impl Rows {
    fn new(run: &Run, device: &Device) -> Result<Self> {
        let rows: Vec<Option<u32>> = run.rows().collect();
        let first = rows.first().copied().flatten().unwrap_or(0);
        if (first..)
            .zip(&rows)
            .all(|(expected, row)| *row == Some(expected))
        {
            return Ok(Self::Neighbours {
                first: usize::try_from(first)?,
                count: rows.len(),
            });
        }
        // Slots that take no part read any row.
        let rows: Vec<u32> = rows.into_iter().map(|row| row.unwrap_or(first)).collect();
        Ok(Self::Picked(Tensor::new(rows, device)?))
    }
}

/// All that attend to one kind of shelf in a pass.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// Where in what the groups give, one after the other, each row of the pass is; nothing where the order is the same.
    back: Option<Tensor>,
}

impl Groups {
    /// `takers`: together they have each row of the pass once. `seen`: how many positions the query of a slot sees.
    pub(super) fn new(
        takers: Vec<Taker>,
        seen: impl Fn(usize, usize) -> usize,
        target: Target<'_>,
    ) -> Result<Self> {
        let runs = runs(takers);
        let groups = runs.iter().map(|run| Group::new(run, &seen, target));
        let back = match way_back(&runs) {
            None => None,
            Some(back) => Some(Tensor::new(back, target.device)?),
        };
        Ok(Self {
            groups: groups.collect::<Result<_>>()?,
            back,
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    /// Lets each group attend with its rows of `x`, and puts what they give in the order of `x`.
    pub(super) fn attend(
        &self,
        x: &Tensor,
        attend: impl Fn(usize, &Group, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let parts = self
            .groups
            .iter()
            .enumerate()
            .map(|(index, group)| attend(index, group, &group.pick(x)?));
        let attended = join(parts.collect::<Result<_>>()?)?;
        match &self.back {
            None => Ok(attended),
            Some(back) => attended.index_select(back, 0),
        }
    }
}

fn way_back(runs: &[Run]) -> Option<Vec<u32>> {
    let given: Vec<Option<u32>> = runs.iter().flat_map(Run::rows).collect();
    if (0..)
        .zip(&given)
        .all(|(expected, row)| *row == Some(expected))
    {
        return None;
    }
    let mut back: Vec<(u32, u32)> = (0..)
        .zip(given)
        .filter_map(|(place, row)| Some((row?, place)))
        .collect();
    back.sort_unstable();
    Some(back.into_iter().map(|(_, place)| place).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `takers`: slot and rows. `expected`: first slot and the rows of each slot.
    fn check(takers: &[(usize, &[u32])], expected: &[(usize, &[&[u32]])]) {
        let takers = takers.iter().map(|(slot, rows)| Taker {
            slot: *slot,
            rows: rows.to_vec(),
        });
        let found = runs(takers.collect());
        let found: Vec<(usize, Vec<&[u32]>)> = found
            .iter()
            .map(|run| {
                let slots = run.slots.iter();
                let rows = slots.map(|rows| rows.as_deref().unwrap_or_default());
                (run.first, rows.collect())
            })
            .collect();
        let expected: Vec<(usize, Vec<&[u32]>)> = expected
            .iter()
            .map(|(first, slots)| (*first, slots.to_vec()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn neighbours_with_as_many_queries_attend_together() {
        check(&[], &[]);
        check(
            &[(0, &[0]), (1, &[1]), (2, &[2])],
            &[(0, &[&[0], &[1], &[2]])],
        );
        check(&[(2, &[0, 1]), (1, &[2, 3])], &[(1, &[&[2, 3], &[0, 1]])]);
        check(
            &[(0, &[0]), (1, &[1, 2, 3]), (3, &[4]), (4, &[5])],
            &[(0, &[&[0], &[], &[], &[4], &[5]]), (1, &[&[1, 2, 3]])],
        );
    }

    #[test]
    fn no_more_slots_are_idle_than_take_part() {
        check(&[(0, &[0]), (3, &[1])], &[(0, &[&[0], &[], &[], &[1]])]);
        check(&[(0, &[0]), (4, &[1])], &[(0, &[&[0]]), (4, &[&[1]])]);
        check(
            &[(0, &[0]), (1, &[1]), (6, &[2]), (7, &[3])],
            &[(0, &[&[0], &[1]]), (6, &[&[2], &[3]])],
        );
    }

    #[test]
    fn what_comes_back_is_in_the_order_of_the_pass() {
        let taker = |slot, rows: &[u32]| Taker {
            slot,
            rows: rows.to_vec(),
        };
        assert_eq!(way_back(&runs(vec![taker(3, &[0]), taker(4, &[1])])), None);
        let mixed = vec![taker(5, &[0]), taker(1, &[1, 2]), taker(3, &[3])];
        // Given are 3, nothing and 0, then 1 and 2.
        assert_eq!(way_back(&runs(mixed)), Some(vec![2, 3, 4, 0]));
    }

    #[test]
    fn queries_see_no_further_than_they_may() {
        const FAR: f32 = f32::NEG_INFINITY;
        assert_eq!(hidden(&[Some(2), None, Some(2)], 2), None);
        assert_eq!(
            hidden(&[Some(1), Some(2), None], 2),
            Some(vec![0.0, FAR, 0.0, 0.0, 0.0, 0.0])
        );
    }
}
