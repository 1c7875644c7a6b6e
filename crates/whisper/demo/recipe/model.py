"""Whisper in PyTorch, with the parameter names of transformers' checkpoints."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from recipe.features import N_MELS, WINDOW_POSITIONS

TEXT_POSITIONS = 448


@dataclass(frozen=True)
class Shape:
    """1.94 million parameters with 2 278 tokens: what two cores can train in an hour and a half."""

    tokens: int
    width: int = 128
    encoder_layers: int = 4
    decoder_layers: int = 2
    heads: int = 4

    def without_layers(self) -> "Shape":
        return replace(self, encoder_layers=0, decoder_layers=0)


class Whisper(nn.Module):
    """Encoder and decoder; the output embedding is the input embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)

    def grown(self, shape: Shape) -> "Whisper":
        """The same function in a shape with as many layers or more; the new ones change nothing until trained."""
        larger = Whisper(shape)
        if self.shape.without_layers() != shape.without_layers():
            raise ValueError(f"only layers can be added: {self.shape} cannot become {shape}")
        for ours, theirs in ((self.encoder, larger.encoder), (self.decoder, larger.decoder)):
            if len(ours.layers) > len(theirs.layers):
                raise ValueError(f"layers can be added, not removed: {self.shape} cannot become {shape}")
            for layer in theirs.layers[len(ours.layers) :]:
                layer.silence()
        larger.load_state_dict(self.state_dict(), strict=False)
        return larger

    def forward(self, mel: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """mel [batch, 80, frames], tokens [batch, length] → logits [batch, length, tokens], encoded."""
        encoded = self.encoder(mel)
        return self.decoder(tokens, encoded), encoded


class Encoder(nn.Module):
    """Log-mel frames → one vector for every 20 ms."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(N_MELS, shape.width, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.width, shape.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding.from_pretrained(_sinusoids(WINDOW_POSITIONS, shape.width))
        self.layers = nn.ModuleList(Layer(shape, is_decoder=False) for _ in range(shape.encoder_layers))
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """[batch, 80, frames] → [batch, frames / 2, width]; fewer than 3 000 frames are fine."""
        hidden = self.front(mel).transpose(1, 2)
        hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden)
        return self.layer_norm(hidden)

    def front(self, mel: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.conv2(F.gelu(self.conv1(mel))))

    @torch.no_grad()
    def scale_front(self, mel: torch.Tensor) -> None:
        """Scales the untrained convolutions so that sound is not drowned by the position's sinusoids.

        With PyTorch's default they put out a standard deviation of 0.07 against 0.68 of the sinusoids.
        """
        self.conv1.weight.div_(self.conv1(mel).std())
        self.conv2.weight.mul_(2.0 / self.conv2(F.gelu(self.conv1(mel))).std())


class Decoder(nn.Module):
    """Tokens so far and the encoded sound → logits of the next token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.tokens, shape.width)
        self.embed_positions = nn.Embedding(TEXT_POSITIONS, shape.width)
        nn.init.normal_(self.embed_tokens.weight, std=0.03)
        nn.init.normal_(self.embed_positions.weight, std=0.01)
        self.layers = nn.ModuleList(Layer(shape, is_decoder=True) for _ in range(shape.decoder_layers))
        self.layer_norm = nn.LayerNorm(shape.width)

    def forward(self, tokens: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """[batch, length], [batch, positions, width] → [batch, length, tokens]."""
        hidden = self.embed_tokens(tokens) + self.embed_positions.weight[: tokens.shape[1]]
        for layer in self.layers:
            hidden = layer(hidden, encoded)
        return F.linear(self.layer_norm(hidden), self.embed_tokens.weight)


class Layer(nn.Module):
    """A pre-norm transformer layer; in the decoder causal and with cross-attention."""

    def __init__(self, shape: Shape, is_decoder: bool) -> None:
        super().__init__()
        self.is_decoder = is_decoder
        self.self_attn = Attention(shape)
        self.self_attn_layer_norm = nn.LayerNorm(shape.width)
        if is_decoder:
            self.encoder_attn = Attention(shape)
            self.encoder_attn_layer_norm = nn.LayerNorm(shape.width)
        self.fc1 = nn.Linear(shape.width, 4 * shape.width)
        self.fc2 = nn.Linear(4 * shape.width, shape.width)
        self.final_layer_norm = nn.LayerNorm(shape.width)

    @torch.no_grad()
    def silence(self) -> None:
        """Makes all that the layer adds zero; the gradients of what is zeroed here are not."""
        last = [self.self_attn.out_proj, self.fc2]
        if self.is_decoder:
            last.append(self.encoder_attn.out_proj)
        for linear in last:
            linear.weight.zero_()
            linear.bias.zero_()

    def forward(self, hidden: torch.Tensor, encoded: torch.Tensor | None = None) -> torch.Tensor:
        normed = self.self_attn_layer_norm(hidden)
        hidden = hidden + self.self_attn(normed, normed, is_causal=self.is_decoder)
        if encoded is not None:
            hidden = hidden + self.encoder_attn(self.encoder_attn_layer_norm(hidden), encoded)
        return hidden + self.fc2(F.gelu(self.fc1(self.final_layer_norm(hidden))))


class Attention(nn.Module):
    """Multi-head attention; keys have no bias, as in Whisper."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.q_proj = nn.Linear(shape.width, shape.width)
        self.k_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.width)
        self.out_proj = nn.Linear(shape.width, shape.width)

    def forward(self, queries: torch.Tensor, source: torch.Tensor, is_causal: bool = False) -> torch.Tensor:
        """[batch, length, width], [batch, source length, width] → [batch, length, width]."""
        projected = self.q_proj(queries), self.k_proj(source), self.v_proj(source)
        # The fused kernel is slower in bf16 than in f32, backwards above all.
        with torch.autocast("cpu", enabled=False):
            split = (self._split(each.float()) for each in projected)
            attended = F.scaled_dot_product_attention(*split, is_causal=is_causal)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _split(self, projected: torch.Tensor) -> torch.Tensor:
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _sinusoids(length: int, width: int) -> torch.Tensor:
    """[length, width]: sines in the first half, cosines in the second."""
    step = math.log(10_000) / (width // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(width // 2))
    return torch.cat([angles.sin(), angles.cos()], dim=1)
