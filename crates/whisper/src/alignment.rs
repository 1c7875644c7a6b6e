//! When each word is said: by what the decoder's attention looks at while it reads the text that it has chosen.
//!
//! Source: openai-whisper's `timing.py`. Pure: [`crate::batch`] runs the decoder over the text once more, and the scores
//! of the [heads](heads) whose attention follows the audio come here.

mod words;

use candle_transformers::models::whisper::Config;
use rayon::prelude::*;

pub(crate) use words::{Punctuated, place_words, words_of};

/// Positions of the audio in a second: one for two mel frames.
const POSITIONS_PER_S: f64 = 50.0;
/// Positions that a median is taken of.
const MEDIAN_OF: usize = 7;

/// A head of the decoder's attention over audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) layer: usize,
    pub(crate) head: usize,
}

/// Those that follow the audio: the checkpoint's list, or all heads of the upper half of the layers where it has none
/// that fits.
pub(crate) fn heads(listed: Option<&[[usize; 2]]>, config: &Config) -> Vec<Head> {
    let (layers, heads) = (config.decoder_layers, config.decoder_attention_heads);
    let listed: Vec<Head> = listed
        .unwrap_or_default()
        .iter()
        .map(|&[layer, head]| Head { layer, head })
        .collect();
    let exists = |head: &Head| head.layer < layers && head.head < heads;
    if !listed.is_empty() && listed.iter().all(exists) {
        return listed;
    }
    let upper = layers / 2..layers;
    let all = upper.flat_map(|layer| (0..heads).map(move |head| Head { layer, head }));
    all.collect()
}

/// The text of a window, as the decoder reads it for its attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Start of transcript, language, task and no timestamps, then the text, then the end.
    pub(crate) tokens: Vec<u32>,
    /// How many come before the text and the token of no timestamps.
    pub(crate) start: usize,
    /// Positions of the window that hold audio.
    pub(crate) positions: usize,
}

/// When each token of the text begins, and when the last one ends, in seconds from the window's beginning.
///
/// `scores`: of each head, before the softmax, `(tokens, positions)`.
pub(crate) fn times(reading: &Reading, scores: Vec<Vec<f32>>) -> Vec<f64> {
    let tokens = reading.tokens.len();
    let (heads, positions) = (scores.len(), reading.positions);
    let mean = scores
        .into_par_iter()
        .map(|scores| contrast(scores, tokens, positions))
        .reduce(Vec::new, added);
    // The row of each token says where the next one is; that of the end says nothing.
    let rows = reading.start..tokens.saturating_sub(1);
    let costs: Vec<f32> = mean
        .get(rows.start * positions..rows.end * positions)
        .unwrap_or_default()
        .iter()
        .map(|value| -value / heads as f32)
        .collect();
    first_positions(&costs, rows.len(), positions)
        .into_iter()
        .map(|position| position as f64 / POSITIONS_PER_S)
        .collect()
}

fn added(mut sum: Vec<f32>, more: Vec<f32>) -> Vec<f32> {
    if sum.is_empty() {
        return more;
    }
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
    sum
}

/// Where a token looks more than the others do: softmax over positions, then at each position the distance from the mean
/// of all tokens in standard deviations, then a median along the positions.
fn contrast(mut scores: Vec<f32>, tokens: usize, positions: usize) -> Vec<f32> {
    if positions == 0 {
        return scores;
    }
    for row in scores.chunks_exact_mut(positions) {
        softmax(row);
    }
    for position in 0..positions {
        let column = || scores.iter().skip(position).step_by(positions);
        let mean = column().map(|value| f64::from(*value)).sum::<f64>() / tokens as f64;
        let squares = column().map(|value| (f64::from(*value) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / tokens as f64).sqrt();
        // Where no token differs from another, none looks.
        let scale = if deviation > 0.0 {
            1.0 / deviation
        } else {
            0.0
        };
        let column = scores.iter_mut().skip(position).step_by(positions);
        for value in column {
            #[expect(clippy::cast_possible_truncation, reason = "values are f32")]
            let distance = ((f64::from(*value) - mean) * scale) as f32;
            *value = distance;
        }
    }
    for row in scores.chunks_exact_mut(positions) {
        median(row);
    }
    scores
}

fn softmax(row: &mut [f32]) {
    let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - highest).exp();
        sum += *value;
    }
    for value in row {
        *value /= sum;
    }
}

/// Each value becomes the median of those around it; at the ends the row is mirrored.
fn median(row: &mut [f32]) {
    const HALF: usize = MEDIAN_OF / 2;
    let length = row.len();
    if length <= HALF {
        return;
    }
    let before = row.to_vec();
    for (position, value) in row.iter_mut().enumerate() {
        let mut around = [0.0; MEDIAN_OF];
        for (offset, around) in around.iter_mut().enumerate() {
            let at = (position + offset).abs_diff(HALF);
            let at = if at < length {
                at
            } else {
                2 * (length - 1) - at
            };
            *around = before[at];
        }
        around.sort_unstable_by(f32::total_cmp);
        *value = around[HALF];
    }
}

/// The step by which the cheapest way came to a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Both,
    Row,
    Position,
}

/// The first position of each row on the cheapest way through `costs`, `(rows, positions)`, which stays or goes on in
/// either at each step (dynamic time warping).
fn first_positions(costs: &[f32], rows: usize, positions: usize) -> Vec<usize> {
    if rows == 0 || positions == 0 {
        return vec![0; rows];
    }
    let width = positions + 1;
    let mut before = vec![f32::INFINITY; width];
    before[0] = 0.0;
    let mut steps = vec![Step::Position; (rows + 1) * width];
    for row in 1..=rows {
        let mut now = vec![f32::INFINITY; width];
        steps[row * width] = Step::Row;
        for position in 1..=positions {
            let (both, up, left) = (before[position - 1], before[position], now[position - 1]);
            let (cheapest, step) = if both < up && both < left {
                (both, Step::Both)
            } else if up < both && up < left {
                (up, Step::Row)
            } else {
                (left, Step::Position)
            };
            now[position] = costs[(row - 1) * positions + position - 1] + cheapest;
            steps[row * width + position] = step;
        }
        before = now;
    }
    let mut first = vec![0; rows];
    let (mut row, mut position) = (rows, positions);
    while row > 0 {
        first[row - 1] = position.saturating_sub(1);
        match steps[row * width + position] {
            Step::Both => {
                row -= 1;
                position -= 1;
            }
            Step::Row => row -= 1,
            Step::Position => position -= 1,
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_those_of_the_checkpoint_or_of_the_upper_half() {
        let config = Config {
            num_mel_bins: 80,
            max_source_positions: 1_500,
            d_model: 12,
            encoder_attention_heads: 3,
            encoder_layers: 4,
            vocab_size: 10,
            max_target_positions: 448,
            decoder_attention_heads: 3,
            decoder_layers: 4,
            suppress_tokens: Vec::new(),
        };
        let listed = heads(Some(&[[1, 2], [3, 0]]), &config);
        assert_eq!(
            listed,
            [Head { layer: 1, head: 2 }, Head { layer: 3, head: 0 }]
        );
        let upper = heads(None, &config);
        assert_eq!(upper.len(), 6);
        assert!(upper.iter().all(|head| head.layer >= 2));
        // Of another network.
        assert_eq!(heads(Some(&[[9, 0]]), &config), upper);
        assert_eq!(heads(Some(&[]), &config), upper);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "a median is one of the values")]
    fn the_median_takes_spikes_out_and_mirrors_the_ends() {
        let mut row = [0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0];
        median(&mut row);
        assert_eq!(row, [0.0; 8]);
        let mut row = [1.0, 2.0, 3.0, 4.0, 5.0];
        // Around the first: 4 3 2 1 2 3 4.
        median(&mut row);
        assert_eq!(row, [3.0; 5]);
        let mut short = [3.0, 1.0];
        median(&mut short);
        assert_eq!(short, [3.0, 1.0]);
    }

    #[test]
    fn a_way_follows_what_is_cheap() {
        // Three tokens that look at positions 0–1, 2–4 and 5.
        let looks = [[0, 1].as_slice(), &[2, 3, 4], &[5]];
        let mut costs = vec![1.0; 18];
        for (row, positions) in looks.iter().enumerate() {
            for position in *positions {
                costs[row * 6 + position] = -1.0;
            }
        }
        assert_eq!(first_positions(&costs, 3, 6), [0, 2, 5]);
        assert_eq!(first_positions(&[], 0, 6), [0; 0]);
        assert_eq!(first_positions(&[], 2, 0), [0, 0]);
        // More tokens than positions: several begin at one.
        assert_eq!(first_positions(&[0.0; 4], 4, 1), [0; 4]);
    }

    #[test]
    fn tokens_begin_where_their_attention_moves_to() {
        // No timestamps, two tokens of text, the end; ten positions.
        let reading = Reading {
            tokens: vec![1, 2, 3, 4, 5],
            start: 1,
            positions: 20,
        };
        let mut scores = vec![0.0; 5 * 20];
        for (row, positions) in [(0, 0..20), (1, 0..8), (2, 8..14), (3, 14..20), (4, 0..20)] {
            for position in positions {
                scores[row * 20 + position] = 5.0;
            }
        }
        let found = times(&reading, vec![scores.clone(), scores]);
        assert_eq!(found, [0.0, 8.0 / 50.0, 14.0 / 50.0]);
    }
}
