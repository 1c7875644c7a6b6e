"""Makes clean synthetic speech sound like rooms, microphones and other speakers."""

import random

import numpy as np
import torch
from scipy.signal import fftconvolve

from recipe.bank import Bank
from recipe.features import N_MELS, SAMPLE_RATE_HZ, log_mel
from recipe.sounds import coloured_noise, event, hum

_BACKGROUND_S = 40


class Augmenter:
    """Draws every disturbance from generators of its own, at a strength from 0 (clean) to 1."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.strength = 0.0
        self._rng = random.Random(seed)
        self._arrays = np.random.default_rng(seed)
        self._backgrounds = self._make_backgrounds(bank)
        self._rooms = [self._make_room() for _ in range(150)]

    def chance(self, probability: float) -> bool:
        """True in that share of the cases at full strength, and less often before."""
        return self._rng.random() < probability * self.strength

    def voice(self, waveform: np.ndarray) -> tuple[np.ndarray, int]:
        """Another tempo and pitch, and the echo of a room; how many samples are speech before the echo dies."""
        if self.chance(0.6):
            length = int(len(waveform) / self._rng.uniform(0.88, 1.14))
            places = np.linspace(0, len(waveform) - 1, length)
            waveform = np.interp(places, np.arange(len(waveform)), waveform).astype(np.float32)
        return (self._in_room(waveform) if self.chance(0.35) else waveform), len(waveform)

    def surroundings(self, waveform: np.ndarray) -> np.ndarray:
        """A background 5 to 40 dB below the speech, now and then an event, any loudness."""
        level = np.sqrt(np.mean(waveform**2)) + 1e-4
        if self.chance(0.65):
            waveform = waveform + self._background(len(waveform)) * level * 10 ** (-self._rng.uniform(5, 40) / 20)
        if self.chance(0.06):
            waveform = waveform + self._placed_event(len(waveform)) * level * 10 ** self._rng.uniform(-1.5, 0.2)
        return self._at_some_loudness(waveform)

    def without_speech(self, length: int) -> np.ndarray:
        """`length` samples of silence, of a background, of an event, or of both."""
        kind = self._rng.random()
        sound = np.zeros(length, np.float32)
        if kind < 0.12:
            return sound
        if kind < 0.65:
            sound = self._placed_event(length) * 10 ** self._rng.uniform(-2, 0)
            sound = self._in_room(sound) if self._rng.random() < 0.3 else sound
        if kind > 0.5:
            sound = sound + self._background(len(sound)) * 10 ** self._rng.uniform(-4, -0.7)
        return self._at_some_loudness(sound)

    def mel(self, waveforms: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """[batch, samples] and the samples that each row uses → [batch, 80, frames].

        Another microphone (tilt), another vocal tract (warped mel axis), and masks as in SpecAugment.
        """
        mel = self._warped(log_mel(waveforms, self._tilt(len(waveforms))))
        for row, length in zip(mel, lengths, strict=True):
            self._mask(row, length // 160)
        return mel

    def _placed_event(self, length: int) -> np.ndarray:
        """An event that lasts for all or some of the samples."""
        part = length if self._rng.random() < 0.4 else max(1_600, int(length * self._rng.uniform(0.05, 1)))
        part = min(part, length)
        start = self._rng.randint(0, length - part)
        return np.pad(event(self._arrays, part), (start, length - part - start))

    def _background(self, length: int) -> np.ndarray:
        """Unit deviation over the whole background; longer than it is, it repeats."""
        background = self._rng.choice(self._backgrounds)
        start = self._rng.randrange(len(background))
        return np.take(background, np.arange(start, start + length), mode="wrap")

    def _at_some_loudness(self, waveform: np.ndarray) -> np.ndarray:
        return np.clip(waveform * 10 ** self._rng.uniform(-1.2, 0.1), -1, 1).astype(np.float32)

    def _in_room(self, waveform: np.ndarray) -> np.ndarray:
        return fftconvolve(waveform, self._rng.choice(self._rooms)).astype(np.float32)

    def _make_room(self) -> np.ndarray:
        """An impulse response: the direct sound, then noise that decays by 60 dB in 0.08 to 0.5 s."""
        length = int(self._rng.uniform(0.08, 0.5) * SAMPLE_RATE_HZ)
        decay = np.exp(-6.9 * np.arange(length) / length)
        response = self._arrays.standard_normal(length) * decay * self._rng.uniform(0.02, 0.15)
        response[: SAMPLE_RATE_HZ // 500] = 0
        response[0] = 1
        return response.astype(np.float32)

    def _make_backgrounds(self, bank: Bank) -> list[np.ndarray]:
        length = _BACKGROUND_S * SAMPLE_RATE_HZ
        noises = [coloured_noise(self._arrays, length, slope) for slope in (0, 0.5, 1, 1, 1.5, 2)]
        hums = [hum(self._arrays, length, mains_hz) for mains_hz in (50, 60, 120)]
        return noises + hums + [self._babble(bank, length) for _ in range(3)]

    def _babble(self, bank: Bank, length: int) -> np.ndarray:
        """140 sentences at once, half of them backwards: nobody can be understood."""
        crowd = np.zeros(length, np.float32)
        for clip in self._rng.choices(bank.clips, k=140):
            waveform = bank.waveform(clip)[:: self._rng.choice((1, -1))]
            start = self._rng.randrange(length - len(waveform))
            crowd[start : start + len(waveform)] += waveform * self._rng.uniform(0.2, 1)
        return crowd / crowd.std()

    def _tilt(self, batch: int) -> torch.Tensor:
        """[batch, 80, 1]: a smooth curve over the mel axis, some tenths of a decade."""
        axis = torch.linspace(-1, 1, N_MELS)
        curves = torch.stack([axis, torch.cos(torch.pi * axis), 0.7 * torch.sin(2 * torch.pi * axis)])
        weights = torch.tensor(self._arrays.normal(0, (0.35, 0.25, 0.2), (batch, 3)), dtype=torch.float32)
        return ((weights * self._chosen(batch)) @ curves)[:, :, None]

    def _warped(self, mel: torch.Tensor) -> torch.Tensor:
        """The mel axis stretched by up to a tenth, as between a long and a short vocal tract."""
        stretch = torch.tensor(self._arrays.uniform(-0.1, 0.1, (len(mel), 1)), dtype=torch.float32)
        places = (torch.arange(N_MELS) * (1 + stretch * self._chosen(len(mel)))).clamp(0, N_MELS - 1.001)
        low = places.long()
        share = (places - low)[:, :, None]

        def at(rows: torch.Tensor) -> torch.Tensor:
            return mel.gather(1, rows[:, :, None].expand(-1, -1, mel.shape[2]))

        return at(low) * (1 - share) + at(low + 1) * share

    def _chosen(self, batch: int) -> torch.Tensor:
        """[batch, 1]: 1 for the rows that get a disturbance, 0 for the others."""
        return torch.tensor([[float(self.chance(0.6))] for _ in range(batch)])

    def _mask(self, mel: torch.Tensor, frames: int) -> None:
        """Blanks up to 10 mels once and up to 0.1 s twice, in place."""
        mean = mel.mean()
        if self.chance(0.5):
            height = self._rng.randint(0, 10)
            start = self._rng.randint(0, N_MELS - height)
            mel[start : start + height] = mean
        for _ in range(2):
            if self.chance(0.5):
                width = self._rng.randint(0, 10)
                start = self._rng.randint(0, max(1, frames - width))
                mel[:, start : start + width] = mean
