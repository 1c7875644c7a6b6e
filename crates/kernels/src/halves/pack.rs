//! Weights in words, as `int16` packs them, and in halves.

use super::STEP;
use crate::{
    amx::INPUTS,
    int16::PAIR,
    linear::{GROUP, PANEL},
    memory::Lines,
};

/// Where a panel of words has input `input` of its output `lane`.
fn place_of_word(input: usize, lane: usize) -> usize {
    (input / PAIR * PANEL + lane) * PAIR + input % PAIR
}

/// Where a panel of halves has the high half of input `input` of its output `lane`.
fn place_of_half(input: usize, lane: usize) -> usize {
    let (step, input) = (input / INPUTS, input % INPUTS);
    step * STEP + (input / GROUP * PANEL + lane) * GROUP + input % GROUP
}

/// How far behind the high half of a weight its low half is.
const LOW: usize = STEP / 2;

/// Panels of words → panels of halves.
pub(super) fn halves(words: &[i16], ins: usize) -> Lines<u8> {
    let of_words = ins.next_multiple_of(PAIR) * PANEL;
    let of_halves = ins.div_ceil(INPUTS) * STEP;
    let mut halves = Lines::zeroed(words.len() / of_words * of_halves);
    let panels = words.chunks_exact(of_words);
    for (words, halves) in panels.zip(halves.chunks_exact_mut(of_halves)) {
        for input in 0..ins {
            for lane in 0..PANEL {
                let word = words[place_of_word(input, lane)];
                let at = place_of_half(input, lane);
                // Weights have 12 bits, so the upper half fits a byte.
                halves[at] = (word >> 4).to_le_bytes()[0];
                halves[at + LOW] = word.to_le_bytes()[0] & 15;
            }
        }
    }
    halves
}

/// Panels of halves → panels of words.
pub(super) fn words(halves: &[u8], ins: usize) -> Lines<i16> {
    let of_words = ins.next_multiple_of(PAIR) * PANEL;
    let of_halves = ins.div_ceil(INPUTS) * STEP;
    let mut words = Lines::zeroed(halves.len() / of_halves * of_words);
    let panels = halves.chunks_exact(of_halves);
    for (halves, words) in panels.zip(words.chunks_exact_mut(of_words)) {
        for input in 0..ins {
            for lane in 0..PANEL {
                let at = place_of_half(input, lane);
                let high = i16::from(halves[at].cast_signed());
                words[place_of_word(input, lane)] = 16 * high + i16::from(halves[at + LOW]);
            }
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
                for input in 0..ins {
                    for lane in 0..PANEL {
                        let value = (input * 977 + lane * 131 + index * 7) % 4095;
                        panel[place_of_word(input, lane)] = i16::try_from(value).unwrap() - 2047;
                    }
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
