import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from recipe.features import WINDOW_POSITIONS, log_mel, padded


def test_log_mel_equals_transformers():
    rng = np.random.default_rng(1)
    waveforms = [rng.standard_normal(length).astype(np.float32) * 0.1 for length in (16_000, 40_123)]
    theirs = WhisperFeatureExtractor(feature_size=80)(waveforms, sampling_rate=16_000, return_tensors="pt")
    ours = log_mel(padded(waveforms, WINDOW_POSITIONS))
    # Both compute in f32 or better; the filters were made in f64.
    torch.testing.assert_close(ours, theirs.input_features, atol=2e-5, rtol=0)


def test_silence_behind_is_cut_or_filled():
    assert padded([np.ones(3, np.float32)], 1).tolist() == [[1.0] * 3 + [0.0] * 317]
    assert padded([np.ones(900, np.float32)], 2).shape == (1, 640)
