//! The text decoder: tokens of several rows in one pass, each row over its own cache.

use candle_core::Tensor;
use candle_transformers::models::whisper::Config;
use kernels::Repeats;
use rayon::prelude::*;

use super::{
    attention::{self, AudioKeys},
    layers::{FeedForward, Linear, Projection, Source},
    matrix::Room,
    norm::LayerNorm,
    ops::{self, BestTokens},
    output::Output,
    prediction::{Asked, Prediction},
    rounding,
};
use crate::{
    alignment::Head,
    checkpoint::LoadError,
    model::{
        Span, State,
        state::{HostCaches, PassCaches},
    },
    precision::Arithmetic,
};

#[derive(Debug)]
pub(super) struct Decoder {
    tokens: Output,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    /// `None` where the output matrix is `tokens`, as in all published checkpoints.
    output: Option<Output>,
}

/// What a layer leaves for the next one to overwrite.
#[derive(Default)]
struct Rooms {
    queries_keys_values: Room,
    audio_queries: Room,
}

#[derive(Debug)]
struct Layer {
    text_norm: LayerNorm,
    text_queries_keys_values: Linear,
    text_out: Linear,
    audio_norm: LayerNorm,
    audio_queries: Linear,
    audio_keys_values: Linear,
    audio_out: Linear,
    feed_forward: FeedForward,
    arithmetic: Arithmetic,
}

impl Decoder {
    /// `source`: the whole checkpoint.
    pub(super) fn load(
        source: &Source<'_>,
        config: &Config,
        output: Option<Output>,
    ) -> Result<Self, LoadError> {
        let source = source.at("decoder").rounded(rounding::OF_TOKENS);
        let width = config.d_model;
        Ok(Self {
            tokens: {
                let (name, shape) = ("embed_tokens.weight", [config.vocab_size, width]);
                Output::load(&source, name, shape, || source.read(name, &shape))?
            },
            positions: source.tensor(
                "embed_positions.weight",
                &[config.max_target_positions, width],
            )?,
            layers: (0..config.decoder_layers)
                .map(|index| Layer::load(&source.at(&format!("layers.{index}")), config))
                .collect::<Result<_, _>>()?,
            norm: LayerNorm::load(&source.at("layer_norm"), width)?,
            output,
        })
    }

    /// Projects keys and values of the audio of some items, `(items, positions, width)`, for each layer of `state`.
    /// `repeats`: on the host only.
    pub(super) fn hear(
        &self,
        state: &mut State,
        items: &[usize],
        encoded: &Tensor,
        repeats: Option<Repeats>,
    ) -> candle_core::Result<()> {
        for item in items {
            state.make_way(*item)?;
        }
        let encoded = encoded.flatten_to(1)?;
        let mut room = Room::default();
        for (index, layer) in self.layers.iter().enumerate() {
            let keys_values = layer.audio_keys_values.forward(&encoded, &mut room)?;
            state.hear(index, items, &keys_values, repeats, layer.arithmetic)?;
        }
        Ok(())
    }

    /// Appends the tokens of each span to its row; predicts what follows each of the `asked` tokens.
    pub(super) fn forward(
        &self,
        state: &mut State,
        spans: &[Span<'_>],
        asked: &[Asked],
        may_be_said: Option<&BestTokens>,
    ) -> candle_core::Result<Vec<Prediction>> {
        let mut x = self.embed(spans)?;
        let mut caches = state.caches(spans)?;
        let mut rooms = Rooms::default();
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &mut caches, index, spans, &mut rooms)?.0;
        }
        // Everything before the output matrix, which is most of the work for a small model, is narrowed to what
        // was asked for.
        if asked.len() != x.dim(0)? {
            let tokens: Vec<u32> = asked.iter().map(|asked| asked.token).collect();
            x = x.index_select(&Tensor::new(tokens, x.device())?, 0)?;
        }
        let output = self.output.as_ref().unwrap_or(&self.tokens);
        let best: Vec<bool> = asked.iter().map(|asked| asked.best).collect();
        output.predictions(&x, &self.norm, &best, may_be_said)
    }

    /// Appends the tokens of a span to its row; the scores of some heads over the audio, before the softmax, of each
    /// `(tokens, positions)`. `encoded`: `(1, positions or more, width)`.
    pub(super) fn scores(
        &self,
        state: &mut State,
        span: Span<'_>,
        encoded: &Tensor,
        heads: &[Head],
        positions: usize,
    ) -> candle_core::Result<Vec<Vec<f32>>> {
        let spans = [span];
        let mut x = self.embed(&spans)?;
        let audio = encoded.squeeze(0)?.narrow(0, 0, positions)?.contiguous()?;
        let head_width = audio.dim(1)? / state.heads();
        let mut caches = state.caches(&spans)?;
        let mut rooms = Rooms::default();
        let mut scores: Vec<Vec<f32>> = vec![Vec::new(); heads.len()];
        for (index, layer) in self.layers.iter().enumerate() {
            let queries;
            (x, queries) = layer.forward(x, &mut caches, index, &spans, &mut rooms)?;
            if heads.iter().all(|head| head.layer != index) {
                continue;
            }
            let keys = layer
                .audio_keys_values
                .forward(&audio, &mut Room::default())?;
            for (scores, head) in scores.iter_mut().zip(heads) {
                if head.layer == index {
                    let part = |x: &Tensor| {
                        x.narrow(1, head.head * head_width, head_width)?
                            .contiguous()
                    };
                    let products = part(&queries)?.matmul(&part(&keys)?.t()?)?;
                    *scores = ops::to_host_rows(&products)?.concat();
                }
            }
        }
        Ok(scores)
    }

    fn embed(&self, spans: &[Span<'_>]) -> candle_core::Result<Tensor> {
        let tokens: Vec<u32> = spans.iter().flat_map(|span| span.tokens).copied().collect();
        let positions: Vec<u32> = spans
            .iter()
            .flat_map(|span| (span.length..).take(span.tokens.len()))
            .filter_map(|position| u32::try_from(position).ok())
            .collect();
        self.tokens.embed(&self.positions, &tokens, &positions)
    }
}

impl Layer {
    fn load(source: &Source<'_>, config: &Config) -> Result<Self, LoadError> {
        let (width, heads) = (config.d_model, config.decoder_attention_heads);
        let queries = || Projection::queries(width / heads);
        let keys_values = [Projection::keys(), Projection::values()];
        let [keys, values] = [Projection::keys(), Projection::values()];
        let text = source.at("self_attn");
        let audio = source.at("encoder_attn");
        Ok(Self {
            text_norm: LayerNorm::load(&source.at("self_attn_layer_norm"), width)?,
            text_queries_keys_values: Linear::load_joined(
                &text,
                width,
                &[queries(), keys, values],
            )?,
            text_out: Linear::load(&text.at("out_proj"), width, width)?,
            audio_norm: LayerNorm::load(&source.at("encoder_attn_layer_norm"), width)?,
            audio_queries: Linear::load_joined(&audio, width, &[queries()])?,
            audio_keys_values: Linear::load_joined(&audio.for_audio(width), width, &keys_values)?,
            audio_out: Linear::load(&audio.at("out_proj"), width, width)?,
            feed_forward: FeedForward::load(source, width, rounding::OF_TOKENS_NARROW)?,
            arithmetic: source.arithmetic(),
        })
    }

    /// The values of `x` may be overwritten. Returns the sum for the next layer, and the queries over audio, which that
    /// layer overwrites.
    fn forward(
        &self,
        x: Tensor,
        caches: &mut PassCaches<'_>,
        index: usize,
        spans: &[Span<'_>],
        rooms: &mut Rooms,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let qkv = self.text_queries_keys_values.forward_normed(
            &self.text_norm,
            &x,
            &mut rooms.queries_keys_values,
        )?;
        let attended = match caches {
            PassCaches::Host(caches) => attend_to_text(&qkv, caches, index, spans)?,
            PassCaches::Shelves(shelves, plan) => shelves.attend_to_text(&qkv, index, plan)?,
        };
        let x = self.text_out.add_to(x, &attended)?;
        let queries =
            self.audio_queries
                .forward_normed(&self.audio_norm, &x, &mut rooms.audio_queries)?;
        let attended = match caches {
            PassCaches::Host(caches) => attend_to_audio(&queries, caches, index, spans)?,
            PassCaches::Shelves(shelves, plan) => shelves.attend_to_audio(&queries, index, plan)?,
        };
        let x = self.audio_out.add_to(x, &attended)?;
        Ok((self.feed_forward.forward(x)?, queries))
    }
}

/// Each span over its own row's cache on the host.
fn attend_to_text(
    qkv: &Tensor,
    caches: &mut HostCaches,
    layer: usize,
    spans: &[Span<'_>],
) -> candle_core::Result<Tensor> {
    let shape = caches.shape();
    let mut first = 0;
    let mut parts = Vec::with_capacity(spans.len());
    for span in spans {
        let own = qkv.narrow(0, first, span.tokens.len())?;
        let cache = caches.text(span.row, layer);
        parts.push(cache.append_and_attend(&own, shape, span.length)?);
        first += span.tokens.len();
    }
    attention::join(parts)
}

/// On the host: neighbouring spans of one item together, so that its keys and values are read once for all its rows.
fn attend_to_audio(
    queries: &Tensor,
    caches: &HostCaches,
    layer: usize,
    spans: &[Span<'_>],
) -> candle_core::Result<Tensor> {
    let mut first = 0;
    let mut groups = Vec::new();
    for group in spans.chunk_by(|a, b| caches.item_of(a.row) == caches.item_of(b.row)) {
        let count = group.iter().map(|span| span.tokens.len()).sum();
        groups.push((
            queries.narrow(0, first, count)?,
            caches.audio(group[0].row, layer),
        ));
        first += count;
    }
    // One token of one item is too little for two threads; several items are enough.
    let attend = |(own, audio): (Tensor, &AudioKeys)| audio.attend(&own);
    let parts: Result<_, _> = groups.into_par_iter().map(attend).collect();
    attention::join(parts?)
}
