//! Weights in words, as `int16` packs them, and in halves.

use rayon::prelude::*;

use super::STEP;
use crate::{
    amx::INPUTS,
    int16::PAIR,
    linear::{GROUP, PANEL},
    memory::Lines,
};

/// How far behind the high half of a weight its low half is.
const LOW: usize = STEP / 2;

/// Where a panel of words has each of its weights, and a panel of halves its high half.
fn places(ins: usize) -> impl Iterator<Item = (usize, usize)> {
    let of_input = |input: usize| {
        let word = input / PAIR * PANEL * PAIR + input % PAIR;
        let (step, within) = (input / INPUTS, input % INPUTS);
        let half = step * STEP + within / GROUP * PANEL * GROUP + within % GROUP;
        (0..PANEL).map(move |lane| (word + lane * PAIR, half + lane * GROUP))
    };
    (0..ins).flat_map(of_input)
}

/// Sizes of a panel of words and of a panel of halves.
fn panel_sizes(ins: usize) -> [usize; 2] {
    let words = ins.next_multiple_of(PAIR) * PANEL;
    [words, ins.div_ceil(INPUTS) * STEP]
}

/// Panels of words → panels of halves.
pub(super) fn halves(words: &[i16], ins: usize) -> Lines<u8> {
    let [of_words, of_halves] = panel_sizes(ins);
    let mut halves = Lines::zeroed(words.len() / of_words * of_halves);
    words
        .par_chunks_exact(of_words)
        .zip(halves.par_chunks_exact_mut(of_halves))
        .for_each(|(words, halves)| {
            for (word, half) in places(ins) {
                // Weights have 12 bits, so the upper half fits a byte.
                halves[half] = (words[word] >> 4).to_le_bytes()[0];
                halves[half + LOW] = words[word].to_le_bytes()[0] & 15;
            }
        });
    halves
}

/// Panels of halves → panels of words.
pub(super) fn words(halves: &[u8], ins: usize) -> Lines<i16> {
    let [of_words, of_halves] = panel_sizes(ins);
    let mut words = Lines::zeroed(halves.len() / of_halves * of_words);
    let panels = halves.chunks_exact(of_halves);
    for (halves, words) in panels.zip(words.chunks_exact_mut(of_words)) {
        for (word, half) in places(ins) {
            let high = i16::from(halves[half].cast_signed());
            words[word] = 16 * high + i16::from(halves[half + LOW]);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_as_they_were() {
        for ins in [1_usize, 63, 64, 240] {
            let panel = ins.next_multiple_of(PAIR) * PANEL;
            let mut before = vec![0; 2 * panel];
            for (index, panel) in before.chunks_exact_mut(panel).enumerate() {
                for (at, (word, _)) in places(ins).enumerate() {
                    let value = (at * 977 + index * 7) % 4095;
                    panel[word] = i16::try_from(value).unwrap() - 2047;
                }
            }
            assert_eq!(
                words(&halves(&before, ins), ins)[..],
                before,
                "{ins} inputs"
            );
        }
    }
}
