"""OpenVINO GenAI. usage: openvino_engine.py MODEL_DIR THREADS"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import line_protocol
import openvino_genai


class OpenVino:
    """One pipeline for single utterances, and as many of one thread as there are threads for several at once."""

    def __init__(self, model: str, threads: int) -> None:
        self.version = f"OpenVINO GenAI {openvino_genai.__version__}"
        # A model of one language refuses to be told which.
        is_multilingual = json.loads((Path(model) / "generation_config.json").read_text())["is_multilingual"]
        self.asked = {"language": "<|en|>", "task": "transcribe"} if is_multilingual else {}
        self.alone = load(model, threads)
        self.many: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self.many.put(load(model, 1))
        self.pool = ThreadPoolExecutor(threads)

    def transcribe(self, audio: list[Any], _window: str) -> list[str]:
        """The window is always 30 s."""
        if len(audio) == 1:
            return [self.words(self.alone, audio[0])]
        return list(self.pool.map(self.in_turn, audio))

    def in_turn(self, audio: Any) -> str:
        """On whichever pipeline is free."""
        pipeline = self.many.get()
        try:
            return self.words(pipeline, audio)
        finally:
            self.many.put(pipeline)

    def words(self, pipeline: Any, audio: Any) -> str:
        """Greedy, as the others."""
        return pipeline.generate(audio, **self.asked, return_timestamps=False).texts[0].strip()


def load(model: str, threads: int) -> Any:
    """One pipeline."""
    # Pinned, several pipelines of one thread would all be on the same core.
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    return openvino_genai.WhisperPipeline(model, "CPU", **settings)


line_protocol.serve(lambda: OpenVino(sys.argv[1], int(sys.argv[2])))
