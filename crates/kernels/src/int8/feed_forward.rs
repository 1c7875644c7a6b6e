//! Two linear layers with a GELU between them, in one pass over the rows.

use rayon::prelude::*;

use super::{FEW_ROWS, Inputs, Int8Matrix, TASK_ROWS, Then, finish::Rest};
use crate::level::Level;

/// A matrix and its bias.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `(outs, ins)`.
    pub matrix: &'a Int8Matrix,
    /// One for each output; empty for none.
    pub bias: &'a [f32],
}

/// `narrow(gelu(widen(x))) + residual`: `(rows, ins of widen)` → `(rows, outs of narrow)`.
///
/// The values are those of two calls of [`Int8Matrix::products`]. With many rows, what is between the layers stays in
/// the cache of a thread: in Whisper it is four times as wide as what comes and goes.
///
/// # Panics
/// When the lengths do not fit together.
pub fn feed_forward(
    level: Level,
    x: &[f32],
    [widen, narrow]: [Layer<'_>; 2],
    residual: &[f32],
    out: &mut [f32],
) {
    let (ins, inner, outs) = (widen.matrix.ins, widen.matrix.outs, narrow.matrix.outs);
    let rows = x.len() / ins;
    assert!(
        x.len() == rows * ins && narrow.matrix.ins == inner && out.len() == rows * outs,
        "{} values in and {} out do not fit matrices ({inner}, {ins}) and ({outs}, {})",
        x.len(),
        out.len(),
        narrow.matrix.ins
    );
    assert_eq!(residual.len(), out.len(), "residual");
    for layer in [widen, narrow] {
        let fits = layer.bias.is_empty() || layer.bias.len() == layer.matrix.outs;
        assert!(fits, "bias");
    }
    if rows <= FEW_ROWS {
        let mut between = vec![0.0; rows * inner];
        let Layer { matrix, bias } = widen;
        matrix.products(level, x, bias, Then::Gelu, &mut between);
        let Layer { matrix, bias } = narrow;
        return matrix.products(level, &between, bias, Then::Add(residual), out);
    }
    let first = Rest {
        bias: widen.bias,
        then: Then::Gelu,
    };
    let second = Rest {
        bias: narrow.bias,
        then: Then::Add(residual),
    };
    x.par_chunks(TASK_ROWS * ins)
        .zip(out.par_chunks_mut(TASK_ROWS * outs))
        .enumerate()
        .for_each_init(Scratch::default, |scratch, (task, (x, out))| {
            let Scratch { inputs, between } = scratch;
            between.resize(x.len() / ins * inner, 0.0);
            inputs.fill(level, x, ins);
            widen.matrix.rows(level, inputs, first, between);
            inputs.fill(level, between, inner);
            let second = second.from(task * TASK_ROWS * outs);
            narrow.matrix.rows(level, inputs, second, out);
        });
}

/// Memory for the tasks of one thread, one after the other.
#[derive(Default)]
struct Scratch {
    inputs: Inputs,
    /// What is between the layers.
    between: Vec<f32>,
}
