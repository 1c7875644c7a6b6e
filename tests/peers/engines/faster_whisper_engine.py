"""faster-whisper. usage: faster_whisper_engine.py MODEL_DIR COMPUTE_TYPE THREADS BEAM_SIZE"""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ctranslate2
import faster_whisper
import line_protocol


class FasterWhisper:
    """One model for single utterances, and one of as many workers as threads for several at once."""

    def __init__(self, model: str, compute_type: str, threads: int, beam_size: int) -> None:
        self.version = f"faster-whisper {faster_whisper.__version__}, CTranslate2 {ctranslate2.__version__}"
        self.beam_size = beam_size
        self.alone = load(model, compute_type, threads, 1)
        # Faster than one worker with all threads, for several utterances.
        self.many = load(model, compute_type, 1, threads)
        self.pool = ThreadPoolExecutor(2 * threads)

    def transcribe(self, audio: list[Any], _window: str) -> list[str]:
        """The window is always 30 s."""
        if len(audio) == 1:
            return [self.words(self.alone, audio[0])]
        return list(self.pool.map(lambda one: self.words(self.many, one), audio))

    def words(self, model: Any, audio: Any) -> str:
        """Without timestamps, as the others."""
        segments, _ = model.transcribe(audio, language="en", beam_size=self.beam_size, without_timestamps=True)
        return "".join(segment.text for segment in segments).strip()


def load(model: str, compute_type: str, threads: int, workers: int) -> Any:
    """One model."""
    return faster_whisper.WhisperModel(
        model, device="cpu", compute_type=compute_type, cpu_threads=threads, num_workers=workers, local_files_only=True
    )


line_protocol.serve(lambda: FasterWhisper(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])))
