//! The audio encoder: two convolutions, then layers of attention over all positions.

use candle_core::Tensor;
use candle_transformers::models::whisper::Config;
use kernels::Repeats;

use super::{
    FRAMES_PER_POSITION, attention,
    convolutions::Convolutions,
    layers::{FeedForward, Linear, Projection, Source},
    matrix::Room,
    norm::LayerNorm,
    rest::Rest,
    rounding,
};
use crate::{checkpoint::LoadError, precision::Arithmetic};

#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) convolutions: Convolutions,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

/// What a layer leaves for the next one to overwrite.
#[derive(Default)]
struct Rooms {
    queries_keys_values: Room,
    attended: Room,
}

#[derive(Debug)]
struct Layer {
    norm: LayerNorm,
    queries_keys_values: Linear,
    out: Linear,
    feed_forward: FeedForward,
    heads: usize,
    arithmetic: Arithmetic,
}

impl Encoder {
    /// `source`: the whole checkpoint.
    pub(super) fn load(source: &Source<'_>, config: &Config) -> Result<Self, LoadError> {
        let width = config.d_model;
        let source = source.at("encoder").for_audio(width);
        Ok(Self {
            convolutions: Convolutions::load(&source, config)?,
            layers: (0..config.encoder_layers)
                .map(|index| Layer::load(&source.at(&format!("layers.{index}")), config))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::load(&source.at("layer_norm"), width)?,
        })
    }

    /// Windows of one length: `(windows, n_mels, frames)` → `(windows, frames / 2, width)`, with the positions of
    /// `rest` behind the others. `None` once `is_given_up` says so: it is asked before each layer.
    pub(super) fn forward(
        &self,
        mel: &Tensor,
        rest: Option<Rest>,
        is_given_up: impl Fn() -> bool,
    ) -> candle_core::Result<Option<Tensor>> {
        let (windows, _, frames) = mel.dims3()?;
        let mut x = self.convolutions.forward(mel)?;
        if let Some(rest) = rest {
            x = self.convolutions.append_rest(&x, windows, rest)?;
        }
        let positions = frames / FRAMES_PER_POSITION + rest.map_or(0, |_| Rest::COUNT);
        let repeats = rest.map(Rest::repeats);
        let mut rooms = Rooms::default();
        for layer in &self.layers {
            if is_given_up() {
                return Ok(None);
            }
            x = layer.forward(x, windows, repeats, &mut rooms)?;
        }
        let x = self.norm.forward(&x)?;
        x.reshape((windows, positions, ())).map(Some)
    }
}

impl Layer {
    fn load(source: &Source<'_>, config: &Config) -> Result<Self, LoadError> {
        let (width, heads) = (config.d_model, config.encoder_attention_heads);
        let attention = source.at("self_attn");
        let parts = [
            Projection::queries(width / heads),
            Projection::keys(),
            Projection::values(),
        ];
        Ok(Self {
            norm: LayerNorm::load(&source.at("self_attn_layer_norm"), width)?,
            queries_keys_values: Linear::load_joined(&attention, width, &parts)?,
            out: Linear::load(&attention.at("out_proj"), width, width)?,
            feed_forward: FeedForward::load(source, width, rounding::of_audio(width))?,
            heads,
            arithmetic: source.arithmetic(),
        })
    }

    /// `(windows * positions, width)`, changed; the values of `x` may be overwritten.
    fn forward(
        &self,
        x: Tensor,
        windows: usize,
        repeats: Option<Repeats>,
        rooms: &mut Rooms,
    ) -> candle_core::Result<Tensor> {
        let qkv = self.queries_keys_values.forward_normed(
            &self.norm,
            &x,
            &mut rooms.queries_keys_values,
        )?;
        let attended = attention::bidirectional(
            &qkv,
            windows,
            self.heads,
            repeats,
            self.arithmetic,
            &mut rooms.attended,
        )?;
        let x = self.out.add_to(x, &attended)?;
        self.feed_forward.forward(x)
    }
}
