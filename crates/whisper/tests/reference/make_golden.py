"""Writes golden/*.safetensors: what transformers computes for the checkpoints and audio of checkpoints.py.

    python -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_golden.py

The Rust tests (`crates/whisper/tests/parity.rs`) make the same checkpoints and audio from their seeds and compare.
Large arrays are thinned out: every 37th column of a spectrogram, every 50th position of encoded audio.
"""

import copy
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from checkpoints import ALL, Tiny, audio, small_integers

GOLDEN = Path(__file__).parent / "golden"
MEL_STEP = 37
POSITION_STEP = 50

SHORT = 83_217  # 5.2 s, not a whole number of frames
WINDOW = 480_000  # exactly 30 s: the reflection at the end is of sound
LONG = 507_333  # 31.7 s
DYNAMIC_FRAMES = 704


def extract(n_mels: int, samples: np.ndarray, **options) -> np.ndarray:
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    return extractor(samples, sampling_rate=16000, return_tensors="np", **options).input_features[0]


def mel() -> None:
    golden = {}
    for n_mels in (80, 128):
        whole = {
            "short": extract(n_mels, audio(5, SHORT)),
            "window": extract(n_mels, audio(6, WINDOW)),
            "long": extract(n_mels, audio(7, LONG), truncation=False, padding="longest"),
            "dynamic": extract(n_mels, audio(5, SHORT), max_length=DYNAMIC_FRAMES * 160),
            "silence": extract(n_mels, np.zeros(16000, np.float32)),
        }
        for name, values in whole.items():
            golden[f"{name}_{n_mels}"] = np.ascontiguousarray(values[:, ::MEL_STEP])
            golden[f"{name}_{n_mels}_last"] = np.ascontiguousarray(values[:, -1])
            golden[f"{name}_{n_mels}_frames"] = np.array([values.shape[1]], np.int64)
    save_file(golden, GOLDEN / "mel.safetensors")


def text(tiny: Tiny, seed: int) -> list:
    """A prompt of previous text, the forced tokens, and 20 tokens of text: teacher forcing, so any will do."""
    forced = ["<|startoftranscript|>"] + (["<|de|>", "<|transcribe|>"] if tiny.multilingual else []) + ["<|notimestamps|>"]
    previous = small_integers(seed, "previous", 9) % 256
    following = small_integers(seed, "following", 20) % 256
    return [tiny.token("<|startofprev|>"), *map(int, previous), *map(tiny.token, forced), *map(int, following)]


def encoded(model, features: np.ndarray) -> torch.Tensor:
    """Runs the encoder, with its position table cut to a trimmed window."""
    positions = features.shape[1] // 2
    encoder = copy.deepcopy(model.model.encoder)
    encoder.config.max_source_positions = positions
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(encoder.embed_positions.weight[:positions])
    return encoder(torch.from_numpy(features)[None]).last_hidden_state


def network(name: str, tiny: Tiny) -> None:
    golden = {}
    with tempfile.TemporaryDirectory() as directory:
        tiny.write(Path(directory))
        model = WhisperForConditionalGeneration.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = text(tiny, tiny.seed)
    golden["tokens"] = np.array(tokens, np.int64)
    for window, options in (("exact", {}), ("dynamic", {"max_length": DYNAMIC_FRAMES * 160})):
        hidden = encoded(model, extract(tiny.n_mels, audio(5, SHORT), **options))
        logits = model(encoder_outputs=(hidden,), decoder_input_ids=torch.tensor([tokens])).logits[0]
        greedy = logits.argmax(-1)
        print(f"{name} {window}: hidden std {hidden.std():.2f}, logits std {logits.std():.2f}, {len(set(greedy.tolist()))} of {len(greedy)} greedy tokens differ")
        assert len(set(greedy.tolist())) > len(greedy) // 2, "the logits say nothing about the text"
        golden[f"{window}_encoded"] = hidden[0, ::POSITION_STEP].contiguous().numpy()
        golden[f"{window}_encoded_mean_square"] = np.array([float((hidden.double() ** 2).mean())], np.float64)
        # Logits after every fifth token whole, and the greedy token after each.
        golden[f"{window}_logits"] = logits[::5].contiguous().numpy()
        golden[f"{window}_greedy"] = greedy.numpy()
    other = encoded(model, extract(tiny.n_mels, audio(8, SHORT)))
    moved = (model(encoder_outputs=(other,), decoder_input_ids=torch.tensor([tokens])).logits[0] - torch.from_numpy(golden["exact_logits"]).repeat_interleave(5, 0)[: len(tokens)])[::5].abs().max()
    print(f"{name}: other audio moves the logits by {moved:.2f}")
    assert moved > 0.5, "the audio does not reach the logits"
    save_file(golden, GOLDEN / f"{name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.mkdir(exist_ok=True)
    with torch.no_grad():
        mel()
        for name, tiny in ALL.items():
            network(name, tiny)
