"""Small checkpoints and audio from a seed, the same numbers as `crates/whisper/src/testing.rs` makes.

Weights are small integers times a power of two, so f32, f16 and bf16 hold them exactly, and nothing but the seed has to
be stored. The generator is splitmix64 (Steele, Lea, Flood 2014), started from the FNV-1a hash of the tensor's name.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def splitmix64(seed: int, count: int) -> np.ndarray:
    """The first `count` outputs as uint64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def small_integers(seed: int, name: str, count: int) -> np.ndarray:
    """Integers in -127..=127."""
    return ((splitmix64(seed ^ fnv1a(name), count) >> np.uint64(32)) % np.uint64(255)).astype(np.int64) - 127


@dataclass
class Tiny:
    """The fields of `testing::TinyCheckpoint`."""

    seed: int
    n_mels: int = 80
    d_model: int = 32
    heads: int = 2
    encoder_layers: int = 2
    decoder_layers: int = 2
    ffn: int = 64
    languages: tuple = ("en", "de", "fr")

    @property
    def multilingual(self) -> bool:
        return len(self.languages) > 0

    def special_tokens(self) -> list:
        texts = ["<|endoftext|>", "<|startoftranscript|>"]
        texts += [f"<|{code}|>" for code in self.languages]
        texts += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
        return texts + [f"<|{i * 0.02:.2f}|>" for i in range(1501)]

    def token(self, text: str) -> int:
        return 256 + self.special_tokens().index(text)

    @property
    def vocab_size(self) -> int:
        return 256 + len(self.special_tokens())

    def config(self) -> dict:
        return {
            "architectures": ["WhisperForConditionalGeneration"],
            "model_type": "whisper",
            "activation_function": "gelu",
            "num_mel_bins": self.n_mels,
            "d_model": self.d_model,
            "encoder_layers": self.encoder_layers,
            "decoder_layers": self.decoder_layers,
            "encoder_attention_heads": self.heads,
            "decoder_attention_heads": self.heads,
            "encoder_ffn_dim": self.ffn,
            "decoder_ffn_dim": self.ffn,
            "max_source_positions": 1500,
            "max_target_positions": 448,
            "vocab_size": self.vocab_size,
            "decoder_start_token_id": self.token("<|startoftranscript|>"),
            "bos_token_id": self.token("<|endoftext|>"),
            "eos_token_id": self.token("<|endoftext|>"),
            "pad_token_id": self.token("<|endoftext|>"),
            "suppress_tokens": [],
            "begin_suppress_tokens": [],
            "tie_word_embeddings": True,
        }

    def generation_config(self) -> dict:
        config = {
            "decoder_start_token_id": self.token("<|startoftranscript|>"),
            "bos_token_id": self.token("<|endoftext|>"),
            "eos_token_id": self.token("<|endoftext|>"),
            "pad_token_id": self.token("<|endoftext|>"),
            "no_timestamps_token_id": self.token("<|notimestamps|>"),
            "prev_sot_token_id": self.token("<|startofprev|>"),
            "is_multilingual": self.multilingual,
            "max_initial_timestamp_index": 50,
            "max_length": 448,
            "suppress_tokens": [self.token(t) for t in ("<|startoftranscript|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>")],
            "begin_suppress_tokens": [32, self.token("<|endoftext|>")],
        }
        if self.multilingual:
            config["lang_to_id"] = {f"<|{code}|>": self.token(f"<|{code}|>") for code in self.languages}
            config["task_to_id"] = {task: self.token(f"<|{task}|>") for task in ("transcribe", "translate")}
        return config

    def shapes(self) -> dict:
        d, shapes = self.d_model, {}

        def linear(name, outs, ins, bias=True):
            shapes[f"{name}.weight"] = (outs, ins)
            if bias:
                shapes[f"{name}.bias"] = (outs,)

        def norm(name):
            shapes[f"{name}.weight"] = (d,)
            shapes[f"{name}.bias"] = (d,)

        def attention(name):
            linear(f"{name}.q_proj", d, d)
            linear(f"{name}.k_proj", d, d, bias=False)
            linear(f"{name}.v_proj", d, d)
            linear(f"{name}.out_proj", d, d)
            norm(f"{name}_layer_norm")

        def layers(side, count, blocks):
            for i in range(count):
                layer = f"model.{side}.layers.{i}"
                for block in blocks:
                    attention(f"{layer}.{block}")
                linear(f"{layer}.fc1", self.ffn, d)
                linear(f"{layer}.fc2", d, self.ffn)
                norm(f"{layer}.final_layer_norm")
            norm(f"model.{side}.layer_norm")

        shapes["model.encoder.conv1.weight"] = (d, self.n_mels, 3)
        shapes["model.encoder.conv1.bias"] = (d,)
        shapes["model.encoder.conv2.weight"] = (d, d, 3)
        shapes["model.encoder.conv2.bias"] = (d,)
        shapes["model.encoder.embed_positions.weight"] = (1500, d)
        layers("encoder", self.encoder_layers, ["self_attn"])
        shapes["model.decoder.embed_tokens.weight"] = (self.vocab_size, d)
        shapes["model.decoder.embed_positions.weight"] = (448, d)
        layers("decoder", self.decoder_layers, ["self_attn", "encoder_attn"])
        return shapes

    def tensors(self) -> dict:
        return {
            name: (small_integers(self.seed, name, int(np.prod(shape))) * scale(name) + offset(name))
            .astype(np.float32)
            .reshape(shape)
            for name, shape in self.shapes().items()
        }

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(self.config()))
        (directory / "generation_config.json").write_text(json.dumps(self.generation_config()))
        (directory / "preprocessor_config.json").write_text(json.dumps({
            "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": self.n_mels, "sampling_rate": 16000,
            "hop_length": 160, "n_fft": 400, "chunk_length": 30, "n_samples": 480000, "nb_max_frames": 3000,
            "padding_value": 0.0, "padding_side": "right", "return_attention_mask": False,
        }))
        (directory / "tokenizer.json").write_text(json.dumps(self.tokenizer()))
        save_file(self.tensors(), directory / "model.safetensors", metadata={"format": "pt"})

    def tokenizer(self) -> dict:
        """Byte-level, without merges: every byte is a token."""
        vocab = {character: byte for byte, character in enumerate(byte_characters())}
        added = [
            {"id": 256 + i, "content": text, "special": i < len(self.special_tokens()) - 1501, "single_word": False,
             "lstrip": False, "rstrip": False, "normalized": False}
            for i, text in enumerate(self.special_tokens())
        ]
        return {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []},
        }


def byte_characters() -> list:
    """The printable stand-in of each byte in byte-level tokenizers: itself, or the next free one from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    free = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(free)) for byte in range(256)]


def scale(name: str) -> float:
    """Powers of two over 128, so that activations stay near 1 and the logits vary from token to token."""
    if name.endswith("bias"):
        return 2.0**-10
    if name.endswith("layer_norm.weight") or "embed_" in name:
        return 2.0**-7
    if "q_proj" in name or "k_proj" in name:
        return 2.0**-8
    return 2.0**-9


def offset(name: str) -> float:
    """Norms scale by 0 to 2, but the last one of the decoder by -1 to 1: with one sign, a tied output matrix would
    prefer the token that it was given."""
    if name.endswith("layer_norm.weight") and name != "model.decoder.layer_norm.weight":
        return 1.0
    return 0.0


def audio(seed: int, samples: int) -> np.ndarray:
    """Tones that come and go over a little noise, within -1..1; computed in f64, as f32."""
    t = np.arange(samples, dtype=np.float64) / 16000.0
    sound = np.zeros(samples)
    for voice in range(5):
        hz = 130.0 * (voice + 1) * (1.0 + 0.03 * (seed % 7))
        rate = 0.9 + 0.37 * voice
        loudness = np.maximum(np.sin(2 * np.pi * rate * t + voice + seed), 0.0)
        sound += 0.11 * loudness * np.sin(2 * np.pi * hz * t)
    noise = small_integers(seed, "audio", samples) / 128.0
    return (sound + 0.01 * noise).astype(np.float32)


MULTILINGUAL = Tiny(seed=1)
ENGLISH = Tiny(seed=2, languages=(), encoder_layers=3, decoder_layers=1)
LARGE_V3 = Tiny(seed=3, n_mels=128, d_model=48, heads=4, ffn=96)
ALL = {"multilingual": MULTILINGUAL, "english": ENGLISH, "large_v3": LARGE_V3}
