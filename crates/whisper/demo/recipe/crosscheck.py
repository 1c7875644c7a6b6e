"""Do others read an exported folder as we do? Compared with transformers on the same clips."""

from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor, WhisperForConditionalGeneration

from recipe.features import SAMPLE_RATE_HZ
from recipe.recognition import Recogniser


def agreeing(folder: Path, recogniser: Recogniser, waveforms: list[np.ndarray]) -> int:
    """How many waveforms get the same words from transformers, in windows of 30 s."""
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    mel = extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_features
    with torch.inference_mode():
        tokens = model.generate(mel, language="en", task="transcribe", max_new_tokens=100)
    theirs = [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]
    ours = [heard.words for heard in recogniser.full_window(waveforms)]
    return sum(one == other for one, other in zip(ours, theirs, strict=True))
