"""Hugging Face transformers on torch. usage: transformers_engine.py MODEL_DIR DTYPE THREADS"""

import sys
from typing import Any

import line_protocol
import torch
import transformers
from tokenizers import Tokenizer


class Transformers:
    """Several utterances are one batch."""

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        capability = torch.backends.cpu.get_cpu_capability()
        self.version = f"transformers {transformers.__version__}, torch {torch.__version__} ({capability})"
        self.dtype = getattr(torch, dtype)
        whisper = transformers.WhisperForConditionalGeneration
        self.model = whisper.from_pretrained(model, dtype=self.dtype, attn_implementation="sdpa").eval()
        # A model of one language refuses to be told which.
        is_multilingual = self.model.generation_config.is_multilingual
        self.asked = {"language": "en", "task": "transcribe"} if is_multilingual else {}
        self.features = transformers.WhisperFeatureExtractor.from_pretrained(model)
        self.tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
        self.first_special = self.tokenizer.token_to_id("<|endoftext|>")

    def transcribe(self, audio: list[Any], _window: str) -> list[str]:
        """The window is always 30 s."""
        heard = self.features(audio, sampling_rate=16_000, return_tensors="pt").input_features.to(self.dtype)
        rows = self.model.generate(heard, **self.asked, num_beams=1, do_sample=False).tolist()
        return [self.words(row) for row in rows]

    def words(self, tokens: list[int]) -> str:
        """Text only."""
        return self.tokenizer.decode([token for token in tokens if token < self.first_special]).strip()


line_protocol.serve(lambda: Transformers(sys.argv[1], sys.argv[2], int(sys.argv[3])))
