"""Sounds without words: backgrounds that lie under speech, and events that must not become words."""

from collections.abc import Callable

import numpy as np

from recipe.features import SAMPLE_RATE_HZ

Rng = np.random.Generator


def coloured_noise(rng: Rng, length: int, slope: float) -> np.ndarray:
    """Noise of unit deviation whose power falls with frequency^slope: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequencies = np.maximum(1, np.arange(len(spectrum)))
    return _unit(np.fft.irfft(spectrum * frequencies ** (-slope / 2), length))


def hum(rng: Rng, length: int, mains_hz: float) -> np.ndarray:
    """A transformer: the mains frequency with harmonics, and a little pink noise; unit deviation."""
    time_s = _times(length)
    waves = sum(np.sin(2 * np.pi * mains_hz * k * time_s + rng.uniform(0, 6)) / k for k in range(1, 8))
    return _unit(waves + 0.3 * coloured_noise(rng, length, 1))


def event(rng: Rng, length: int) -> np.ndarray:
    """`length` samples with a sound that a home makes and nobody says, its peak at most 1."""
    sound = EVENTS[rng.integers(len(EVENTS))](rng, length)
    return (sound / max(1e-6, np.abs(sound).max())).astype(np.float32)


def _clicks(rng: Rng, length: int) -> np.ndarray:
    """A switch, a clock, keys: one to forty impulses, bare or ringing, regular or not."""
    sound = np.zeros(length)
    if rng.random() < 0.4:
        starts = np.arange(rng.integers(0, length // 2 + 1), length, max(800, int(length * rng.uniform(0.02, 0.5))))
    else:
        starts = rng.integers(0, length, 1 + int(rng.exponential(5)))
    is_same, shape = rng.random() < 0.6, _click_shape(rng)
    for start in starts:
        click = shape if is_same else _click_shape(rng)
        click = click[: length - start]
        sound[start : start + len(click)] += click * rng.uniform(0.3, 1)
    return sound


def _click_shape(rng: Rng) -> np.ndarray:
    if rng.random() < 0.35:
        return np.full(rng.integers(1, 30), rng.choice([-1.0, 1.0]))
    length = int(SAMPLE_RATE_HZ * 10 ** rng.uniform(-3, -0.8))
    decay = np.exp(-np.arange(length) * 6.9 / length)
    if rng.random() < 0.5:
        return decay * coloured_noise(rng, length, rng.uniform(0, 1.5))
    return decay * np.sin(2 * np.pi * rng.uniform(80, 5_000) * _times(length))


def _tone(rng: Rng, length: int) -> np.ndarray:
    """A steady or wavering tone of any colour."""
    time_s = _times(length)
    phase = 2 * np.pi * _pitch_hz(rng) * time_s
    if rng.random() < 0.3:
        phase += rng.uniform(0.5, 8) * np.sin(2 * np.pi * rng.uniform(2, 9) * time_s)
    return _coloured_wave(rng, phase)


def _chord(rng: Rng, length: int) -> np.ndarray:
    """Two to five tones at once, in tune or not."""
    root_hz = rng.uniform(80, 1_500)
    ratios = 2 ** (rng.choice(25, size=rng.integers(2, 6), replace=False) / 12) * rng.uniform(0.99, 1.01)
    time_s = _times(length)
    return sum(_coloured_wave(rng, 2 * np.pi * root_hz * ratio * time_s) for ratio in ratios)


def _sweep(rng: Rng, length: int) -> np.ndarray:
    """A frequency that glides up or down, evenly in Hz or in octaves, once or again and again."""
    rounds = 1 if rng.random() < 0.6 else rng.integers(2, 9)
    part = (np.arange(length) * rounds / length) % 1
    if rng.random() < 0.2:
        part = 1 - np.abs(2 * part - 1)
    low_hz, high_hz = 10 ** rng.uniform(1.7, 3), 10 ** rng.uniform(2.7, 3.9)
    start_hz, end_hz = (low_hz, high_hz) if rng.random() < 0.5 else (high_hz, low_hz)
    if rng.random() < 0.5:
        frequency_hz = start_hz + (end_hz - start_hz) * part
    else:
        frequency_hz = start_hz * (end_hz / start_hz) ** part
    return _coloured_wave(rng, 2 * np.pi * np.cumsum(frequency_hz) / SAMPLE_RATE_HZ)


def _melody(rng: Rng, length: int) -> np.ndarray:
    """Notes in a row: a doorbell, a ring tone, beeps with pauses."""
    sound = np.zeros(length)
    note = max(400, int(SAMPLE_RATE_HZ * rng.uniform(0.05, 0.6)))
    is_one_pitch, pitch_hz, gap = rng.random() < 0.3, _pitch_hz(rng), rng.uniform(0, 0.6)
    for start in range(0, length, note):
        heard = sound[start : start + int(note * (1 - gap))]
        frequency_hz = pitch_hz if is_one_pitch else _pitch_hz(rng)
        heard += _coloured_wave(rng, 2 * np.pi * frequency_hz * _times(len(heard)))
        heard *= np.exp(-_times(len(heard)) * rng.uniform(0, 8))
    return sound


def _gusts(rng: Rng, length: int) -> np.ndarray:
    """Noise that swells and fades: wind, water, a vacuum, rustling."""
    slow = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, 12), rng.uniform(0, 1, 12) ** 2)
    return coloured_noise(rng, length, rng.uniform(-0.5, 2)) * slow


# Clicks and sweeps twice: they are what comes out as words most easily.
EVENTS: tuple[Callable[[Rng, int], np.ndarray], ...] = (
    _clicks, _clicks, _tone, _chord, _sweep, _sweep, _melody, _gusts,
)  # fmt: skip


def _pitch_hz(rng: Rng) -> float:
    return 10 ** rng.uniform(1.8, 3.8)


def _coloured_wave(rng: Rng, phase: np.ndarray) -> np.ndarray:
    """A sine, a softened square, or a sine with overtones."""
    kind = rng.integers(3)
    if kind == 0:
        return np.sin(phase)
    if kind == 1:
        return np.tanh(rng.uniform(1, 6) * np.sin(phase))
    return sum(np.sin(k * phase) * rng.uniform(0, 1) / k for k in range(1, 6))


def _times(length: int) -> np.ndarray:
    return np.arange(length) / SAMPLE_RATE_HZ


def _unit(sound: np.ndarray) -> np.ndarray:
    return (sound / sound.std()).astype(np.float32)
