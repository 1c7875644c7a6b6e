//! A norm and two linear layers with a GELU between them, in one pass over the rows.

use rayon::prelude::*;

use super::{FEW_ROWS, Input, Inputs, Int8Matrix, Norm, Then, finish::Rest, task_rows};
use crate::level::Level;

/// A matrix and its bias.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `(outs, ins)`.
    pub matrix: &'a Int8Matrix,
    /// One for each output; empty for none.
    pub bias: &'a [f32],
}

/// `x + narrow(gelu(widen(norm(x))))`: `(rows, ins of widen)`, in place.
///
/// The values are those of two calls of [`Int8Matrix::products`]. With many rows, what is between the layers stays in
/// the cache of a thread: in Whisper it is four times as wide as what comes and goes.
///
/// # Panics
/// When the lengths do not fit together.
pub fn feed_forward(level: Level, x: &mut [f32], norm: Norm<'_>, [widen, narrow]: [Layer<'_>; 2]) {
    let (ins, inner) = (widen.matrix.ins, widen.matrix.outs);
    let rows = Input::normed(x, norm).rows(ins);
    assert!(
        narrow.matrix.ins == inner && narrow.matrix.outs == ins,
        "matrices ({inner}, {ins}) and ({}, {})",
        narrow.matrix.outs,
        narrow.matrix.ins
    );
    for layer in [widen, narrow] {
        let fits = layer.bias.is_empty() || layer.bias.len() == layer.matrix.outs;
        assert!(fits, "bias");
    }
    if rows <= FEW_ROWS {
        let mut between = vec![0.0; rows * inner];
        let Layer { matrix, bias } = widen;
        matrix.products(
            level,
            Input::normed(x, norm),
            bias,
            Then::Gelu,
            &mut between,
        );
        let Layer { matrix, bias } = narrow;
        return matrix.products(level, Input::plain(&between), bias, Then::Add, x);
    }
    let first = Rest {
        bias: widen.bias,
        then: Then::Gelu,
    };
    let second = Rest {
        bias: narrow.bias,
        then: Then::Add,
    };
    x.par_chunks_mut(task_rows(level, rows) * ins)
        .for_each_init(Scratch::default, |scratch, x| {
            let Scratch { inputs, between } = scratch;
            between.resize(x.len() / ins * inner, 0.0);
            inputs.fill(level, Input::normed(x, norm), ins);
            widen.matrix.rows(level, inputs, first, between);
            inputs.fill(level, Input::plain(between), inner);
            narrow.matrix.rows(level, inputs, second, x);
        });
}

/// Memory for the tasks of one thread, one after the other.
#[derive(Default)]
struct Scratch {
    inputs: Inputs,
    /// What is between the layers.
    between: Vec<f32>,
}
