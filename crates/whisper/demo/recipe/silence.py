"""Sounds without speech for the measurement, plainer than those of the training and never drawn from them."""

import numpy as np

from recipe.features import SAMPLE_RATE_HZ
from recipe.sounds import coloured_noise


def sounds_without_speech() -> dict[str, list[np.ndarray]]:
    """Waveforms by kind; for all of them nothing must be heard."""
    rng = np.random.default_rng(2)
    lengths_s, levels = (1, 2, 4, 8), (0.001, 0.01, 0.05, 0.2)

    def noises(slope: float) -> list[np.ndarray]:
        return [
            level * coloured_noise(rng, length_s * SAMPLE_RATE_HZ, slope) for length_s in lengths_s for level in levels
        ]

    return {
        "digital silence": [np.zeros(length_s * SAMPLE_RATE_HZ, np.float32) for length_s in (1, 2, 3, 5, 8)],
        "white noise": noises(0),
        "pink noise": noises(1),
        "brown noise": noises(2),
        "clicks": [_clicks(count, seconds) for count in (1, 2, 5, 16) for seconds in (1, 3)],
        "tones": [_tones([hz], seconds) for hz in (110, 440, 1_000, 3_000) for seconds in (1, 4)],
        "chords": [_tones([220 * ratio, 277 * ratio, 330 * ratio], 2) for ratio in (0.5, 1, 2, 4)],
        "rising chirps": [_chirp(low, high, s) for low, high in ((100, 1_000), (200, 4_000)) for s in (1, 2, 4)],
        "falling chirps": [_chirp(high, low, s) for low, high in ((100, 1_000), (200, 4_000)) for s in (1, 2, 4)],
    }


def _clicks(count: int, seconds: int) -> np.ndarray:
    """Impulses of 2 ms at equal distances."""
    sound = np.zeros(seconds * SAMPLE_RATE_HZ, np.float32)
    for start in np.linspace(0.1, 0.9, count) * len(sound):
        sound[int(start) : int(start) + 32] = 0.8
    return sound


def _tones(frequencies_hz: list[float], seconds: int) -> np.ndarray:
    time_s = np.arange(seconds * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    waves = sum(np.sin(2 * np.pi * hz * time_s) for hz in frequencies_hz)
    return (0.3 * waves / len(frequencies_hz)).astype(np.float32)


def _chirp(start_hz: float, end_hz: float, seconds: int) -> np.ndarray:
    """A sine whose frequency changes evenly in Hz."""
    frequency_hz = np.linspace(start_hz, end_hz, seconds * SAMPLE_RATE_HZ)
    return (0.3 * np.sin(2 * np.pi * np.cumsum(frequency_hz) / SAMPLE_RATE_HZ)).astype(np.float32)
