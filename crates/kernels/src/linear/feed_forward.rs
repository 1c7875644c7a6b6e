//! A norm and two linear layers with a GELU between them, in one pass over the rows.

use rayon::prelude::*;

use super::{
    FEW_ROWS, Input, Inputs, IntMatrix, Norm, Product, Rest, Then, all_outputs, products, task_rows,
};
use crate::level::Level;

/// A matrix and its bias.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `(outs, ins)`.
    pub matrix: &'a IntMatrix,
    /// One for each output; empty for none.
    pub bias: &'a [f32],
}

/// `x + narrow(gelu(widen(norm(x))))`: `(rows, ins of widen)`, in place.
///
/// Two calls of [`IntMatrix::products`] give the same values. With many rows, what is between the layers stays in the
/// cache of a thread: in Whisper it is four times as wide as what comes and goes.
///
/// # Panics
/// When the lengths do not fit together, one matrix has inputs of one byte and the other of two, or one alone
/// is laid out for many rows.
pub fn feed_forward(level: Level, x: &mut [f32], norm: Norm<'_>, [widen, narrow]: [Layer<'_>; 2]) {
    let rests = [(widen, Then::Gelu), (narrow, Then::Add)]
        .map(|(Layer { bias, .. }, then)| Rest { bias, then });
    match (widen.matrix, narrow.matrix) {
        (IntMatrix::Int8(widen), IntMatrix::Int8(narrow)) => {
            both(level, x, norm, [widen, narrow], rests);
        }
        (IntMatrix::Int16(widen), IntMatrix::Int16(narrow)) => {
            both(level, x, norm, [widen, narrow], rests);
        }
        #[cfg(target_arch = "x86_64")]
        (IntMatrix::Halves(widen), IntMatrix::Halves(narrow)) => {
            both(level, x, norm, [widen, narrow], rests);
        }
        _ => unreachable!("layers of one rounding, laid out for as many rows"),
    }
}

fn both<P: Product>(
    level: Level,
    x: &mut [f32],
    norm: Norm<'_>,
    [widen, narrow]: [&P; 2],
    [first, second]: [Rest<'_>; 2],
) {
    let [inner, ins] = widen.shape();
    let rows = Input::normed(x, norm).rows(ins);
    assert!(
        narrow.shape() == [ins, inner],
        "matrices ({inner}, {ins}) and {:?}",
        narrow.shape()
    );
    for (rest, matrix) in [(first, widen), (second, narrow)] {
        let fits = rest.bias.is_empty() || rest.bias.len() == matrix.shape()[0];
        assert!(fits, "bias");
    }
    if rows <= FEW_ROWS {
        let mut between = vec![0.0; rows * inner];
        products(widen, level, Input::normed(x, norm), first, &mut between);
        return products(narrow, level, Input::plain(&between), second, x);
    }
    x.par_chunks_mut(task_rows(P::tile_rows(level), rows) * ins)
        .for_each_init(Scratch::default, |scratch, x| {
            let Scratch { inputs, between } = scratch;
            between.resize(x.len() / ins * inner, 0.0);
            widen.fill(level, Input::normed(x, norm), inputs);
            all_outputs(widen, level, inputs, first, between);
            narrow.fill(level, Input::plain(between), inputs);
            all_outputs(narrow, level, inputs, second, x);
        });
}

/// Memory for the tasks of one thread, one after the other.
#[derive(Default)]
struct Scratch {
    inputs: Inputs,
    /// What is between the layers.
    between: Vec<f32>,
}
