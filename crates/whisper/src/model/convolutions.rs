//! What is in front of the encoder's layers: two convolutions of width 3 over time, each with a GELU, and the table of
//! positions.

use candle_core::{Device, Tensor};
use candle_transformers::models::whisper::Config;
use kernels::{Input, IntMatrix, Level, Then};
use rayon::prelude::*;

use super::{
    FRAMES_PER_POSITION,
    layers::{Linear, Source},
    matrix::Matrix,
    ops::{self, with_slices},
    rest::Rest,
    vector,
};
use crate::checkpoint::LoadError;

#[derive(Debug)]
pub(super) struct Convolutions {
    layers: [Linear; 2],
    positions: Tensor,
}

impl Convolutions {
    /// `source`: the encoder.
    pub(super) fn load(source: &Source<'_>, config: &Config) -> Result<Self, LoadError> {
        let width = config.d_model;
        Ok(Self {
            layers: [
                Linear::load_convolution(&source.at("conv1"), config.num_mel_bins, width)?,
                Linear::load_convolution(&source.at("conv2"), width, width)?,
            ],
            positions: source.tensor(
                "embed_positions.weight",
                &[config.max_source_positions, width],
            )?,
        })
    }

    /// `(windows, n_mels, frames)` → `(windows * frames / 2, width)`.
    pub(super) fn forward(&self, mel: &Tensor) -> candle_core::Result<Tensor> {
        if let [(Matrix::Int(first, level), _), (Matrix::Int(second, _), _)] =
            self.layers.each_ref().map(Linear::parts)
        {
            return self.in_integers(mel, *level, [first, second]);
        }
        self.over_copies(mel)
    }

    /// Puts the positions of `rest` behind those of each window: `(windows * positions, width)`, of which the last ones
    /// are padding. What the convolutions make of padding is the same everywhere; only the table differs.
    pub(super) fn append_rest(
        &self,
        x: &Tensor,
        windows: usize,
        rest: Rest,
    ) -> candle_core::Result<Tensor> {
        let (rows, width) = x.dims2()?;
        let positions = rows / windows;
        let table = |position| self.positions.narrow(0, position, 1);
        // The last position sees the end of the frames, where a whole window goes on.
        let inner = positions.saturating_sub(2);
        let places = Tensor::new(rest.places(), x.device())?;
        let places = self.positions.index_select(&places, 0)?;
        let mut parts = Vec::with_capacity(3 * windows);
        for window in 0..windows {
            let own = x.narrow(0, window * positions, positions)?;
            let padding = (own.narrow(0, inner, 1)? - table(inner)?)?;
            parts.push(own.narrow(0, 0, positions - 1)?);
            parts.push((&padding + table(positions - 1)?)?);
            parts.push(places.broadcast_add(&padding)?);
        }
        let all = windows * (positions + Rest::COUNT);
        Tensor::cat(&parts, 0)?.reshape((all, width))
    }

    /// With copies of what each step sees, on any device.
    fn over_copies(&self, mel: &Tensor) -> candle_core::Result<Tensor> {
        let (windows, _, frames) = mel.dims3()?;
        let positions = frames / FRAMES_PER_POSITION;
        let x = mel.to_dtype(self.positions.dtype())?;
        let x = x.transpose(1, 2)?.contiguous()?;
        let [first, second] = &self.layers;
        let x = first.forward_gelu(&ops::unfold(&x, 1)?)?;
        let x = x.reshape((windows, frames, ()))?;
        let x = second.forward_gelu(&ops::unfold(&x, FRAMES_PER_POSITION)?)?;
        // A trimmed window takes the first positions: its audio starts where the window does.
        let table = self.positions.narrow(0, 0, positions)?;
        if windows == 1 {
            return x + table;
        }
        let x = x.reshape((windows, positions, ()))?;
        x.broadcast_add(&table)?.flatten_to(1)
    }

    /// Without copies of what each step sees: rows that overlap are multiplied where they lie.
    fn in_integers(
        &self,
        mel: &Tensor,
        level: Level,
        matrices: [&IntMatrix; 2],
    ) -> candle_core::Result<Tensor> {
        let (windows, n_mels, frames) = mel.dims3()?;
        let [width, _] = matrices[1].shape();
        let positions = frames / FRAMES_PER_POSITION;
        let mut out = kernels::zeros(windows * positions * width);
        let [first_bias, second_bias] = self.layers.each_ref().map(|layer| layer.parts().1);
        let mel = mel.contiguous()?;
        with_slices(
            [&mel, first_bias, second_bias, &self.positions].map(Some),
            |[mel, first_bias, second_bias, table]| {
                let mut first = Padded::new(frames, n_mels);
                let mut second = Padded::new(frames, width);
                for (mel, out) in mel
                    .chunks_exact(n_mels * frames)
                    .zip(out.chunks_exact_mut(positions * width))
                {
                    first.fill_transposed(mel);
                    let x = first.steps(1);
                    matrices[0].products(level, x, first_bias, Then::Gelu, second.own());
                    let x = second.steps(FRAMES_PER_POSITION);
                    matrices[1].products(level, x, second_bias, Then::Gelu, out);
                    // As above.
                    out.par_chunks_mut(width)
                        .zip(table.par_chunks(width))
                        .with_min_len(ops::ROWS_PER_TASK)
                        .for_each(|(out, table)| vector::add(out, table));
                }
            },
        )?;
        Tensor::from_vec(out, (windows * positions, width), &Device::Cpu)
    }
}

/// Steps of time with one of zeros before and one behind: `(length + 2, channels)`.
struct Padded {
    values: Vec<f32>,
    channels: usize,
}

impl Padded {
    fn new(length: usize, channels: usize) -> Self {
        Self {
            values: kernels::zeros((length + 2) * channels),
            channels,
        }
    }

    /// What is between the zeros.
    fn own(&mut self) -> &mut [f32] {
        let end = self.values.len() - self.channels;
        &mut self.values[self.channels..end]
    }

    /// From `(channels, length)`.
    fn fill_transposed(&mut self, rows: &[f32]) {
        let channels = self.channels;
        let length = rows.len() / channels;
        self.own()
            .par_chunks_mut(ops::ROWS_PER_TASK * channels)
            .enumerate()
            .for_each(|(task, steps)| {
                let from = task * ops::ROWS_PER_TASK;
                for (channel, row) in rows.chunks_exact(length).enumerate() {
                    let values = &row[from..];
                    for (step, value) in steps.chunks_exact_mut(channels).zip(values) {
                        step[channel] = *value;
                    }
                }
            });
    }

    /// What a convolution sees at every `stride`-th step.
    fn steps(&self, stride: usize) -> Input<'_> {
        Input::overlapping(&self.values, stride * self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkpoint::Checkpoint, model::Model, precision::Precision, testing::TinyCheckpoint,
    };

    #[test]
    fn in_integers_they_are_what_they_are_over_copies() {
        let directory = tempfile::tempdir().unwrap();
        TinyCheckpoint::large_v3().write(directory.path()).unwrap();
        let checkpoint = Checkpoint::open(directory.path()).unwrap();
        for level in Level::available() {
            let model = Model::load_as(&checkpoint, &Device::Cpu, Precision::Int8, level).unwrap();
            let convolutions = &model.encoder.convolutions;
            // One step for each task, and more than one.
            for (windows, frames) in [(1, 2), (1, 448), (3, 96)] {
                let mel = Tensor::randn(0_f32, 1.0, (windows, 128, frames), &Device::Cpu).unwrap();
                let values = |x: Tensor| x.to_vec2::<f32>().unwrap();
                let found = values(convolutions.forward(&mel).unwrap());
                let expected = values(convolutions.over_copies(&mel).unwrap());
                assert_eq!(found.len(), windows * frames / FRAMES_PER_POSITION);
                assert!(found == expected, "{level}: {windows} of {frames}");
            }
        }
    }
}
