//! The network: immutable weights, and the passes over them.
//!
//! ```text
//! mel (n_mels, frames) ─encode▶ (frames / 2, d_model) ─start▶ State: cross-attention keys and values per item
//!                                                                │
//! tokens of a prompt ──────────prefill──────────────▶ logits ◀───┤ self-attention caches per row
//! one token per row ───────────step─────────────────▶ logits ◀───┘
//! ```

pub(crate) mod attention;
mod convolutions;
mod decoder;
#[cfg(feature = "testing")]
pub(crate) mod elsewhere;
mod encoder;
mod error;
mod fused;
mod layers;
mod logits;
mod matrix;
mod norm;
mod ops;
mod output;
mod plan;
mod prediction;
mod rest;
mod rounding;
mod shelf;
mod source;
mod span;
mod state;
mod text_keys;
mod then;
mod vector;

use candle_core::{DType, Device, Tensor};
use candle_transformers::models::whisper::Config;
use kernels::Level;

pub(crate) use self::{ops::are_host, rest::Rest, vector::log_sum_exp};

use self::span::Span;
use self::{
    attention::CacheShape, decoder::Decoder, encoder::Encoder, ops::BestTokens, output::Output,
    prediction::Asked, source::Source,
};
pub use self::{error::ModelError, fused::Fused, state::State};
pub(crate) use self::{
    layers::computing,
    logits::Logits,
    prediction::{Best, Prediction},
    source::Kept,
};
use crate::{
    Cancel,
    alignment::{self, Head},
    checkpoint::{Checkpoint, LoadError},
    mel::LogMel,
    precision::{Arithmetic, Precision},
};

/// Mel frames per position: the second convolution takes every other one.
const FRAMES_PER_POSITION: usize = 2;

/// Windows of 30 s that a device other than the host encodes in one pass, or so many more shorter ones as have as many
/// frames. From some thousand positions on the products of a layer occupy a GPU, and more of them at once save little;
/// but those that are being decoded wait for the pass, and its memory grows with it: 0.3 GB in f16 for the large models.
const WHOLE_WINDOWS_TOGETHER: usize = 4;

/// Encoder and decoder with their weights on one device. Immutable: threads may share it.
#[derive(Debug)]
pub struct Model {
    config: Config,
    device: Device,
    encoder: Encoder,
    decoder: Decoder,
    parameters: u64,
    arithmetic: Arithmetic,
    fused: Fused,
    may_be_said: Option<BestTokens>,
    /// Those whose attention follows the audio.
    alignment_heads: Vec<Head>,
}

/// Tokens to append to one row, and which of their logits are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Prefill<'a> {
    /// The row.
    pub row: usize,
    /// What to append; not empty.
    pub tokens: &'a [u32],
    /// Indices into `tokens` after which logits are wanted, in the order wanted.
    pub asked: &'a [usize],
}

impl Model {
    /// Puts the weights of `checkpoint` on `device`, as f32.
    ///
    /// # Errors
    /// [`LoadError`] for a tensor that is missing, of another shape than the configuration says, or not finite.
    pub fn load(checkpoint: &Checkpoint, device: &Device) -> Result<Self, LoadError> {
        Self::load_as(checkpoint, device, Precision::F32, Level::best())
    }

    /// As [`Model::load`], in the precision asked for; `level` is what the kernels of the CPU may use.
    ///
    /// # Errors
    /// As [`Model::load`], and [`LoadError::Precision`] for a precision that the device does not have.
    pub fn load_as(
        checkpoint: &Checkpoint,
        device: &Device,
        precision: Precision,
        level: Level,
    ) -> Result<Self, LoadError> {
        Self::load_kept(checkpoint, device, precision, level, true, Kept::No)
    }

    /// As [`Model::load_as`], of packed weights or giving them to be kept. `fused`: whether [kernels of our own](fused)
    /// are wanted where there are some.
    pub(crate) fn load_kept(
        checkpoint: &Checkpoint,
        device: &Device,
        precision: Precision,
        level: Level,
        fused: bool,
        kept: Kept<'_>,
    ) -> Result<Self, LoadError> {
        let Some(mut arithmetic) = precision.on(ops::is_host_device(device), level) else {
            return Err(LoadError::Precision {
                device: crate::device::name(device),
                precision: precision.name(),
            });
        };
        let config = checkpoint.config();
        let fused = if fused && matches!(arithmetic, Arithmetic::F16 { .. }) {
            fused::check::check(config, device)
                .map_err(|source| LoadError::OwnKernels { source })?
        } else {
            Fused::None
        };
        if matches!(fused, Fused::Used) {
            arithmetic = Arithmetic::F16 { fused: true };
        }
        let tensors = checkpoint.tensors()?;
        let source = Source::new(&tensors, device, arithmetic, kept);
        let output = if checkpoint.ties_output() {
            None
        } else {
            let shape = [config.vocab_size, config.d_model];
            let name = "proj_out.weight";
            let read = || tensors.read(name, &shape);
            Some(Output::load(&source, name, shape, read)?)
        };
        Ok(Self {
            encoder: Encoder::load(&source, config)?,
            decoder: Decoder::load(&source, config, output)?,
            parameters: match kept {
                Kept::Read(packed) => packed.parameters(),
                Kept::No | Kept::Write(_) => tensors.values_read(),
            },
            config: config.clone(),
            device: device.clone(),
            arithmetic,
            fused,
            may_be_said: None,
            alignment_heads: alignment::heads(
                checkpoint.generation().alignment_heads.as_deref(),
                config,
            ),
        })
    }

    /// These tokens are not to be said. Devices other than the host then choose the best of the others themselves.
    ///
    /// # Errors
    /// [`LoadError::Device`] where the device has no room.
    pub(crate) fn forbid(&mut self, tokens: &[u32]) -> Result<(), LoadError> {
        let choice = BestTokens::new(
            tokens,
            self.config.vocab_size,
            &self.device,
            self.arithmetic.has_fused(),
        );
        let on_device = |source| LoadError::Device {
            tensor: "suppress_tokens".to_owned(),
            source,
        };
        self.may_be_said = Some(choice.map_err(on_device)?);
        Ok(())
    }

    /// Whether a model would have packed weights, which can be kept.
    pub(crate) fn is_packed(device: &Device, precision: Precision, level: Level) -> bool {
        let arithmetic = precision.on(ops::is_host_device(device), level);
        matches!(arithmetic, Some(Arithmetic::Int8(_)))
    }

    /// The shape of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of weights, a tied output matrix counted once.
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Precision of weights and arithmetic.
    pub fn precision(&self) -> &'static str {
        self.arithmetic.name()
    }

    /// Whether this program's own kernels for GPUs are used.
    pub fn fused(&self) -> &Fused {
        &self.fused
    }

    /// Mel frames of a whole window: 3000 for 30 s.
    pub fn window_frames(&self) -> usize {
        FRAMES_PER_POSITION * self.config.max_source_positions
    }

    /// Puts windows of the same number of frames together: `(batch, n_mels, frames)`.
    ///
    /// # Errors
    /// [`ModelError::MelShape`] for a window that the encoder does not read, or of another length than the first.
    pub fn mel_batch(&self, windows: &[&LogMel]) -> Result<Tensor, ModelError> {
        let frames = windows.first().map_or(0, |window| window.frames());
        let (n_mels, batch) = (self.config.num_mel_bins, windows.len());
        let mut values = Vec::with_capacity(batch * n_mels * frames);
        for window in windows {
            self.check_mel(&[window.n_mels(), window.frames()], frames)?;
            values.extend_from_slice(window.data());
        }
        Tensor::from_vec(values, (batch, n_mels, frames), &self.device)
            .map_err(computing("copying the spectrogram"))
    }

    /// Runs the encoder: `(batch, n_mels, frames)` → `(batch, frames / 2, d_model)`. `frames` is even and at most
    /// [`Model::window_frames`].
    ///
    /// # Errors
    /// [`ModelError::MelShape`] for another shape.
    pub fn encode(&self, mel: &Tensor) -> Result<Tensor, ModelError> {
        let shape = mel.dims().get(1..).unwrap_or_default();
        let frames = shape.last().copied().unwrap_or(0);
        self.check_mel(shape, frames)?;
        let compute = || {
            let windows = mel.dim(0)?;
            let together = self.windows_together(frames);
            let parts = (0..windows).step_by(together).map(|first| {
                let part = mel.narrow(0, first, together.min(windows - first))?;
                self.run_encoder(&part)
            });
            attention::join(parts.collect::<candle_core::Result<_>>()?)
        };
        compute().map_err(computing("the encoder"))
    }

    /// Whether our own loops compute.
    pub(crate) fn is_on_host(&self) -> bool {
        ops::are_host(self.arithmetic.number_type(), &self.device)
    }

    /// How many windows of `frames` frames [should](Encoder::forward) be encoded in one pass, at most.
    pub(crate) fn windows_together(&self, frames: usize) -> usize {
        if self.is_on_host() {
            // Each fills all threads, and together they would leave the caches.
            1
        } else {
            (WHOLE_WINDOWS_TOGETHER * self.window_frames() / frames.max(1)).max(1)
        }
    }

    fn run_encoder(&self, mel: &Tensor) -> candle_core::Result<Tensor> {
        let encoded = self.encoder.forward(mel, None, || false)?;
        encoded.ok_or_else(|| candle_core::Error::Msg("the encoder was given up".to_owned()))
    }

    /// Runs the encoder over windows of any lengths: `(frames / 2, d_model)` for each. Only the frames that are there
    /// count.
    ///
    /// # Errors
    /// [`ModelError::MelShape`] for a window that the encoder does not read.
    pub fn encode_each(&self, windows: &[&LogMel]) -> Result<Vec<Tensor>, ModelError> {
        windows
            .iter()
            .map(|window| {
                let mel = self.mel_batch(&[window])?;
                let compute = || self.run_encoder(&mel)?.squeeze(0);
                compute().map_err(computing("the encoder"))
            })
            .collect()
    }

    /// Runs the encoder over windows of the same number of frames in one pass, `(windows, positions, d_model)`; `None`
    /// once the flags of all are raised, which are read between two layers. `rest`: see [`Model::rest_of`].
    ///
    /// # Errors
    /// [`ModelError::MelShape`] as [`Model::mel_batch`].
    pub(crate) fn encode_unless(
        &self,
        cancels: &[&Cancel],
        windows: &[&LogMel],
        rest: Option<Rest>,
    ) -> Result<Option<Tensor>, ModelError> {
        let mel = self.mel_batch(windows)?;
        let is_given_up = || cancels.iter().all(|cancel| cancel.is_cancelled());
        let encode = || {
            #[cfg(test)]
            elsewhere::find_room(windows.len())?;
            self.encoder.forward(&mel, rest, is_given_up)
        };
        encode().map_err(computing("the encoder"))
    }

    /// Begins decoding: projects the cross-attention keys and values of each item, once. Item `i` gets the rows
    /// `i * rows_per_item ..`, all empty; they share the item's projections.
    ///
    /// `encoded`: one tensor per item, `(positions, d_model)` or `(1, positions, d_model)`; lengths may differ.
    ///
    /// # Errors
    /// [`ModelError::EncodedShape`] for another shape.
    pub fn start(&self, encoded: &[Tensor], rows_per_item: usize) -> Result<State, ModelError> {
        let mut state = self.room(encoded.len(), rows_per_item)?;
        for (item, encoded) in encoded.iter().enumerate() {
            let encoded = self.of_one_item(encoded)?;
            self.hear(&mut state, &[item], &encoded, None)?;
        }
        Ok(state)
    }

    /// Room for items that come and go; each is to be [heard](Self::hear) first.
    pub(crate) fn room(&self, items: usize, rows_per_item: usize) -> Result<State, ModelError> {
        let shape = self.cache_shape();
        State::with_room(items, rows_per_item.max(1), shape, &self.device)
            .map_err(computing("making room for the caches"))
    }

    /// Whether the device has memory for so many items with whole windows and so many rows each, while it encodes one.
    ///
    /// # Errors
    /// What the device said where it has not.
    pub(crate) fn try_room(&self, items: usize, rows_per_item: usize) -> Result<(), ModelError> {
        #[cfg(test)]
        elsewhere::find_room(items).map_err(computing("making room"))?;
        let mut state = self.room(items, rows_per_item)?;
        state
            .reserve()
            .map_err(computing("making room for audio"))?;
        let shape = (1, self.config.num_mel_bins, self.window_frames());
        let window = Tensor::zeros(shape, DType::F32, &self.device);
        let encoded = self.encode(&window.map_err(computing("making room for a window"))?)?;
        self.hear(&mut state, &[items.saturating_sub(1)], &encoded, None)
    }

    /// What stands for the padding behind the frames of windows of this length. `None` where the frames are the whole
    /// window or [nothing follows](LogMel::is_padded_on) them; and on a GPU, which reads whole windows.
    pub(crate) fn rest_of(&self, window: &LogMel) -> Option<Rest> {
        if window.is_padded_on() && self.is_on_host() {
            Rest::behind(window.frames(), self.window_frames())
        } else {
            None
        }
    }

    /// Puts encoded windows, `(items, positions, d_model)`, in the places of as many items of `state`.
    pub(crate) fn hear(
        &self,
        state: &mut State,
        items: &[usize],
        encoded: &Tensor,
        rest: Option<Rest>,
    ) -> Result<(), ModelError> {
        self.decoder
            .hear(state, items, encoded, rest.map(Rest::repeats))
            .map_err(computing("the projection of the audio"))?;
        // A GPU works on behind its caller, who measures how long this took.
        self.device
            .synchronize()
            .map_err(computing("waiting for the device"))
    }

    fn cache_shape(&self) -> CacheShape {
        let heads = self.config.decoder_attention_heads;
        CacheShape {
            layers: self.config.decoder_layers,
            heads,
            head_width: self.config.d_model / heads,
            tokens: self.config.max_target_positions,
            positions: self.config.max_source_positions,
            number_type: self.arithmetic.number_type(),
            has_fused: self.arithmetic.has_fused(),
        }
    }

    /// Appends `tokens` to one row and returns the logits `(vocab)` after each of the `asked` ones (indices into
    /// `tokens`), in that order.
    ///
    /// # Errors
    /// [`ModelError`] for a row or token that does not exist, or a row that has no room.
    pub fn prefill(
        &self,
        state: &mut State,
        row: usize,
        tokens: &[u32],
        asked: &[usize],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let prompt = Prefill { row, tokens, asked };
        let mut logits = self.prefill_rows(state, &[prompt])?;
        Ok(logits.pop().unwrap_or_default())
    }

    /// [`Model::prefill`] of several rows in one pass; the logits are grouped by row. Rows of one item should be
    /// neighbours: its audio is then read once for all of them.
    ///
    /// # Errors
    /// As [`Model::prefill`], and [`ModelError::RowTwice`].
    pub fn prefill_rows(
        &self,
        state: &mut State,
        prompts: &[Prefill<'_>],
    ) -> Result<Vec<Vec<Vec<f32>>>, ModelError> {
        let predicted = self.predict_rows(state, prompts, &[])?.into_iter();
        Ok(predicted.map(exact).collect())
    }

    /// As [`Model::prefill_rows`], with logits that may be estimates. Of the rows that are marked in `greedy` (which may
    /// be shorter) the best token is enough.
    pub(crate) fn predict_rows(
        &self,
        state: &mut State,
        prompts: &[Prefill<'_>],
        greedy: &[bool],
    ) -> Result<Vec<Vec<Prediction>>, ModelError> {
        let mut spans = Vec::with_capacity(prompts.len());
        let mut asked = Vec::new();
        let mut first = 0;
        for (index, prompt) in prompts.iter().enumerate() {
            let best = greedy.get(index).copied().unwrap_or(false);
            spans.push(Span {
                row: prompt.row,
                length: state.len(prompt.row),
                tokens: prompt.tokens,
            });
            for index in prompt.asked {
                if *index >= prompt.tokens.len() {
                    return Err(ModelError::AskedBehindEnd {
                        asked: *index,
                        tokens: prompt.tokens.len(),
                    });
                }
                asked.push((first + index, best));
            }
            first += prompt.tokens.len();
        }
        let mut predicted = self.pass(state, &spans, &asked)?.into_iter();
        let per_row = |prompt: &Prefill<'_>| predicted.by_ref().take(prompt.asked.len()).collect();
        Ok(prompts.iter().map(per_row).collect())
    }

    /// Appends one token to each of the rows named, in one pass, and returns the logits `(vocab)` after it, one vector
    /// per pair. Rows may have different lengths; rows that have ended are left out. Rows of one item should be
    /// neighbours.
    ///
    /// # Errors
    /// As [`Model::prefill`], and [`ModelError::RowTwice`].
    pub fn step(
        &self,
        state: &mut State,
        tokens: &[(usize, u32)],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let spans: Vec<Span<'_>> = tokens
            .iter()
            .map(|(row, token)| Span {
                row: *row,
                length: state.len(*row),
                tokens: std::slice::from_ref(token),
            })
            .collect();
        let asked: Vec<(usize, bool)> = (0..spans.len()).map(|token| (token, false)).collect();
        self.pass(state, &spans, &asked).map(exact)
    }

    /// `asked`: indices of tokens, counted over all spans, and whether the best that follows is enough.
    fn pass(
        &self,
        state: &mut State,
        spans: &[Span<'_>],
        asked: &[(usize, bool)],
    ) -> Result<Vec<Prediction>, ModelError> {
        self.check_spans(state, spans)?;
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let asked_for = |&(token, best): &(usize, bool)| {
            let token = u32::try_from(token).ok()?;
            Some(Asked { token, best })
        };
        let asked: Vec<Asked> = asked.iter().filter_map(asked_for).collect();
        let predicted = self
            .decoder
            .forward(state, spans, &asked, self.may_be_said.as_ref())
            .map_err(computing("the decoder"))?;
        state.grow(spans);
        Ok(predicted)
    }

    /// Where the heads whose attention follows the audio look while `tokens` are read by an empty row: scores before the
    /// softmax, `(tokens, positions)` for each head. `encoded`: the audio, `(1, positions or more, d_model)`, which the
    /// row's item was given.
    pub(crate) fn alignment_scores(
        &self,
        state: &mut State,
        row: usize,
        encoded: &Tensor,
        tokens: &[u32],
        positions: usize,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        state.clear(row);
        let length = state.len(row);
        let span = Span {
            row,
            length,
            tokens,
        };
        self.check_spans(state, &[span])?;
        let scores = self
            .decoder
            .scores(state, span, encoded, &self.alignment_heads, positions)
            .map_err(computing("the times of words"));
        state.clear(row);
        scores
    }

    /// Checks an item of [`Model::start`]: `(1, positions, d_model)`.
    fn of_one_item(&self, encoded: &Tensor) -> Result<Tensor, ModelError> {
        let width = self.config.d_model;
        let wrong_shape = || ModelError::EncodedShape {
            width,
            found: encoded.dims().to_vec(),
        };
        let (positions, found) = match encoded.dims() {
            [positions, width] | [1, positions, width] => (*positions, *width),
            _ => return Err(wrong_shape()),
        };
        if found != width || positions == 0 {
            return Err(wrong_shape());
        }
        encoded
            .reshape((1, positions, width))
            .map_err(computing("the projection of the audio"))
    }

    /// `shape`: `[n_mels, frames]`, which should have `frames` frames.
    fn check_mel(&self, shape: &[usize], frames: usize) -> Result<(), ModelError> {
        let fits = frames > 0
            && frames.is_multiple_of(FRAMES_PER_POSITION)
            && frames <= self.window_frames();
        if fits && shape == [self.config.num_mel_bins, frames] {
            return Ok(());
        }
        Err(ModelError::MelShape {
            n_mels: self.config.num_mel_bins,
            frames: self.window_frames(),
            found: shape.to_vec(),
        })
    }

    fn check_spans(&self, state: &State, spans: &[Span<'_>]) -> Result<(), ModelError> {
        let mut seen = vec![false; state.rows()];
        for span in spans {
            let row = span.row;
            match seen.get_mut(row) {
                None => {
                    let rows = state.rows();
                    return Err(ModelError::NoSuchRow { row, rows });
                }
                Some(true) => return Err(ModelError::RowTwice { row }),
                Some(seen) => *seen = true,
            }
            if span.tokens.is_empty() {
                return Err(ModelError::NoTokens { row });
            }
            if span.length + span.tokens.len() > state.capacity() {
                return Err(ModelError::RowFull {
                    row,
                    length: span.length,
                    more: span.tokens.len(),
                    capacity: state.capacity(),
                });
            }
            let vocab_size = self.config.vocab_size;
            let unknown = |token: &&u32| usize::try_from(**token).is_ok_and(|t| t >= vocab_size);
            if let Some(token) = span.tokens.iter().find(unknown) {
                return Err(ModelError::UnknownToken {
                    token: *token,
                    vocab_size,
                });
            }
        }
        Ok(())
    }
}

/// Logits of predictions of which all were asked for.
fn exact(predicted: Vec<Prediction>) -> Vec<Vec<f32>> {
    let logits = predicted.into_iter().filter_map(Prediction::logits);
    logits.map(Logits::exact).collect()
}

#[cfg(test)]
mod tests;
