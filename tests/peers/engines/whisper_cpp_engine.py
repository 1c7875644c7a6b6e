"""whisper.cpp through pywhispercpp. usage: whisper_cpp_engine.py MODEL_FILE THREADS"""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from queue import SimpleQueue
from typing import Any

import line_protocol
from pywhispercpp.model import Model


class WhisperCpp:
    """One context for single utterances, and as many of one thread as there are threads for several at once."""

    def __init__(self, model: str, threads: int) -> None:
        has = [part.removesuffix(" = 1").strip() for part in Model.system_info().split("|") if " = 1" in part]
        self.version = f"pywhispercpp {version('pywhispercpp')}, built with {', '.join(has)}"
        self.alone = load(model, threads)
        self.many: SimpleQueue[Model] = SimpleQueue()
        for _ in range(threads):
            self.many.put(load(model, 1))
        self.pool = ThreadPoolExecutor(threads)

    def transcribe(self, audio: list[Any], window: str) -> list[str]:
        """`dynamic` reduces the encoder's context as ours is reduced."""
        if len(audio) == 1:
            return [words(self.alone, audio[0], window)]
        return list(self.pool.map(lambda one: self.in_turn(one, window), audio))

    def in_turn(self, audio: Any, window: str) -> str:
        """On whichever context is free."""
        context = self.many.get()
        try:
            return words(context, audio, window)
        finally:
            self.many.put(context)


def load(model: str, threads: int) -> Model:
    """One context, decoding greedily."""
    return Model(
        model,
        redirect_whispercpp_logs_to=None,
        n_threads=threads,
        language="en",
        no_timestamps=True,
        print_progress=False,
        print_timestamps=False,
        print_realtime=False,
    )


def words(context: Model, audio: Any, window: str) -> str:
    """Of one utterance."""
    # 0: all of it.
    positions = line_protocol.dynamic_positions(len(audio)) if window == "dynamic" else 0
    segments = context.transcribe(audio, audio_ctx=positions)
    return " ".join(segment.text for segment in segments).strip()


line_protocol.serve(lambda: WhisperCpp(sys.argv[1], int(sys.argv[2])))
