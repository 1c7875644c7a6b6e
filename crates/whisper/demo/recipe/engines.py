"""The speech synthesisers of Debian, each behind the same call: text and voice in, waveform out."""

import io
import math
import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from recipe.voices import Voice

SAMPLE_RATE_HZ = 16_000


class NothingSaid(Exception):
    """The engine gave no sound; some variants cannot say some texts."""


class Synthesisers:
    """All engines; a context manager, since festival is kept running between sentences."""

    def __enter__(self) -> "Synthesisers":
        self._folder = tempfile.TemporaryDirectory()
        self._wav = Path(self._folder.name) / "spoken.wav"
        self._festival: subprocess.Popen[str] | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_festival()
        self._folder.cleanup()

    def speak(self, text: str, voice: Voice) -> np.ndarray:
        """Samples at 16 kHz, int16, the loudest at 0.9 of full scale, edges trimmed."""
        if voice.engine == "espeak":
            wav = self._espeak(text, voice)
        elif voice.engine == "flite":
            wav = self._flite(text, voice)
        else:
            wav = self._festival_wav(text, voice)
        return _trimmed(*_samples(wav))

    def _espeak(self, text: str, voice: Voice) -> bytes:
        rate, pitch = str(voice.words_per_minute), str(voice.pitch)
        command = ["espeak-ng", "-v", voice.name, "-s", rate, "-p", pitch, "--stdout", text]
        return subprocess.run(command, capture_output=True, check=True).stdout

    def _flite(self, text: str, voice: Voice) -> bytes:
        stretch = f"duration_stretch={voice.stretch:.2f}"
        command = ["flite", "-voice", voice.name, "--setf", stretch, "-t", text, "-o", str(self._wav)]
        subprocess.run(command, capture_output=True, check=True)
        return self._wav.read_bytes()

    def _festival_wav(self, text: str, voice: Voice) -> bytes:
        festival = self._running_festival()
        assert festival.stdin and festival.stdout
        festival.stdin.write(
            f"(voice_{voice.name})\n"
            f"(Parameter.set 'Duration_Stretch {voice.stretch:.2f})\n"
            f'(utt.save.wave (utt.synth (Utterance Text "{text}")) "{self._wav}" \'riff)\n'
            '(format t "spoken\\n")\n(fflush nil)\n'
        )
        festival.stdin.flush()
        if festival.stdout.readline() != "spoken\n":
            self._stop_festival()
            raise NothingSaid(f"festival failed at {text!r} with {voice.label}")
        return self._wav.read_bytes()

    def _running_festival(self) -> subprocess.Popen[str]:
        if self._festival is None:
            self._festival = subprocess.Popen(
                ["festival", "--pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return self._festival

    def _stop_festival(self) -> None:
        if self._festival is not None:
            self._festival.kill()
            self._festival.wait()
            self._festival = None


def _samples(wav: bytes) -> tuple[np.ndarray, int]:
    """Samples (float32) and rate of a mono WAV; espeak-ng writes a false length when it writes to a pipe."""
    with wave.open(io.BytesIO(wav)) as reader:
        rate_hz = reader.getframerate()
        frames = reader.readframes((len(wav) - 44) // 2)
    return np.frombuffer(frames, dtype="<i2").astype(np.float32), rate_hz


def _trimmed(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    if rate_hz != SAMPLE_RATE_HZ:
        common = math.gcd(rate_hz, SAMPLE_RATE_HZ)
        samples = resample_poly(samples, SAMPLE_RATE_HZ // common, rate_hz // common)
    peak = np.abs(samples).max(initial=0.0)
    if peak < 33 or len(samples) < SAMPLE_RATE_HZ // 8:
        raise NothingSaid("nothing to hear")
    # What is 40 dB below the peak counts as silence; 50 ms stay before the speech and 75 ms behind it.
    loud = np.flatnonzero(np.abs(samples) > 0.01 * peak)
    heard = samples[max(0, loud[0] - 800) : loud[-1] + 1_200]
    return (heard * (0.9 * 32_767 / peak)).astype("<i2")
