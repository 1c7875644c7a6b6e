"""The checkpoints of this project in openai-whisper, which knows only its own vocabularies and sizes."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import tiktoken
import torch

# Only times of single words need it.
sys.modules.setdefault("numba", SimpleNamespace(jit=lambda *_, **__: lambda function: function))

import whisper.decoding
from safetensors.torch import load_file
from whisper.model import ModelDimensions, Whisper
from whisper.tokenizer import LANGUAGES, Tokenizer

from checkpoints import byte_characters


class Ranker(whisper.decoding.MaximumLikelihoodRanker):
    """Without the division by zero where a hypothesis has ended at once: it counts as one token, as in the crate."""

    def rank(self, tokens: list, sum_logprobs: list) -> list:
        counted = [[each if len(each) else torch.zeros(1) for each in group] for group in tokens]
        return super().rank(counted, sum_logprobs)


whisper.decoding.MaximumLikelihoodRanker = Ranker


class Reference(Whisper):
    """openai-whisper's network with a checkpoint's weights, vocabulary and suppressed tokens."""

    def __init__(self, directory: Path):
        config, generation, vocabulary = (
            json.loads((directory / name).read_text())
            for name in ("config.json", "generation_config.json", "tokenizer.json")
        )
        super().__init__(ModelDimensions(
            n_mels=config["num_mel_bins"], n_audio_ctx=config["max_source_positions"], n_audio_state=config["d_model"],
            n_audio_head=config["encoder_attention_heads"], n_audio_layer=config["encoder_layers"],
            n_vocab=config["vocab_size"], n_text_ctx=config["max_target_positions"], n_text_state=config["d_model"],
            n_text_head=config["decoder_attention_heads"], n_text_layer=config["decoder_layers"],
        ))
        for block in [*self.encoder.blocks, *self.decoder.blocks]:
            # openai-whisper's are always four times as wide as the network.
            width, inner = config["d_model"], config["encoder_ffn_dim"]
            block.mlp = torch.nn.Sequential(torch.nn.Linear(width, inner), torch.nn.GELU(), torch.nn.Linear(inner, width))
        self.load_state_dict({rename(name): values.float() for name, values in load_file(directory / "model.safetensors").items()}, strict=False)
        self.eval()
        self.encoding = encoding(vocabulary)
        self.suppressed, self.suppressed_first = generation["suppress_tokens"], generation["begin_suppress_tokens"]
        # In the order of their tokens, which openai-whisper counts up from the start of transcript.
        tokens = generation.get("lang_to_id", {})
        self.languages = [name.strip("<|>") for name in sorted(tokens, key=tokens.get)]

    @property
    def is_multilingual(self) -> bool:
        return len(self.languages) > 0

    @property
    def num_languages(self) -> int:
        return len(self.languages)

    def become_the_model(self) -> None:
        """Lets openai-whisper's functions use this checkpoint's vocabulary."""
        LANGUAGES.clear()
        LANGUAGES.update({code: code for code in self.languages})
        # The name `whisper.transcribe` is the function's, not the module's.
        whisper.decoding.get_tokenizer = sys.modules["whisper.transcribe"].get_tokenizer = self.tokenizer
        whisper.decoding.DecodingTask._get_suppress_tokens = lambda _task: tuple(self.suppressed)
        whisper.decoding.SuppressBlank = lambda _tokenizer, begin: SuppressFirst(self.suppressed_first, begin)

    def tokenizer(self, multilingual: bool, *, num_languages: int = 0, language=None, task=None) -> Tokenizer:
        language, task = (language or self.languages[0], task or "transcribe") if multilingual else (None, None)
        return Tokenizer(encoding=self.encoding, num_languages=self.num_languages, language=language, task=task)


class SuppressFirst:
    def __init__(self, tokens: list, begin: int):
        self.tokens, self.begin = tokens, begin

    def apply(self, logits: torch.Tensor, tokens: torch.Tensor) -> None:
        if tokens.shape[1] == self.begin:
            logits[:, self.tokens] = -torch.inf


def encoding(vocabulary: dict) -> tiktoken.Encoding:
    byte_of = {character: byte for byte, character in enumerate(byte_characters())}
    words = vocabulary["model"]["vocab"]
    return tiktoken.Encoding(
        name="checkpoint",
        pat_str=r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""",
        mergeable_ranks={bytes(byte_of[c] for c in word): rank for word, rank in words.items() if all(c in byte_of for c in word)},
        special_tokens={token["content"]: token["id"] for token in vocabulary["added_tokens"]},
    )


RENAMED = [
    ("model.", ""), (".layers.", ".blocks."), ("self_attn_layer_norm", "attn_ln"), ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn", "attn"), ("encoder_attn", "cross_attn"), ("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"),
    ("out_proj", "out"), ("final_layer_norm", "mlp_ln"), ("fc1", "mlp.0"), ("fc2", "mlp.2"),
    ("embed_tokens", "token_embedding"), ("embed_positions.weight", "positional_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"), ("decoder.layer_norm", "decoder.ln"),
]


def rename(name: str) -> str:
    for theirs, ours in RENAMED:
        name = name.replace(theirs, ours)
    return name
