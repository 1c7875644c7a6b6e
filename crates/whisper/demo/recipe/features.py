"""Whisper's log-mel spectrogram, for batches of any length."""

import numpy as np
import torch

SAMPLE_RATE_HZ = 16_000
N_MELS = 80
HOP = 160
# The encoder's convolutions halve the frames: one position is 20 ms.
SAMPLES_PER_POSITION = 2 * HOP
WINDOW_POSITIONS = 1_500
_N_FFT = 400


def log_mel(waveforms: torch.Tensor, tilt: torch.Tensor | None = None) -> torch.Tensor:
    """[batch, samples] at 16 kHz → [batch, 80, samples / 160], Whisper's scale.

    tilt: [batch, 80, 1], added to the decimal logarithm before it is limited, as a microphone would.
    """
    spectrum = torch.stft(waveforms, _N_FFT, HOP, window=_WINDOW, return_complex=True)[..., :-1]
    power = spectrum.real.square() + spectrum.imag.square()
    mel = torch.log10((_FILTERS @ power).clamp_min(1e-10))
    if tilt is not None:
        # Digital silence stays digital silence.
        mel = torch.where(mel > -9.9, mel + tilt, mel)
    mel = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8.0)
    return (mel + 4.0) / 4.0


def padded(waveforms: list[np.ndarray], positions: int) -> torch.Tensor:
    """[batch, positions × 320], silence behind each waveform; what is longer is cut."""
    samples = torch.zeros(len(waveforms), positions * SAMPLES_PER_POSITION)
    for row, waveform in zip(samples, waveforms, strict=True):
        kept = torch.from_numpy(waveform[: len(row)].astype(np.float32, copy=False))
        row[: len(kept)] = kept
    return samples


def _mel_filters() -> torch.Tensor:
    """[80, 201]: Slaney's mel scale (linear to 1 kHz, then logarithmic), triangles of equal area."""
    break_hz, hz_per_mel, log_step = 1_000.0, 200.0 / 3.0, np.log(6.4) / 27.0
    break_mel = break_hz / hz_per_mel
    top_mel = break_mel + np.log(SAMPLE_RATE_HZ / 2 / break_hz) / log_step
    mels = np.linspace(0.0, top_mel, N_MELS + 2)
    edges_hz = np.where(mels < break_mel, hz_per_mel * mels, break_hz * np.exp(log_step * (mels - break_mel)))
    bins_hz = np.linspace(0.0, SAMPLE_RATE_HZ / 2, _N_FFT // 2 + 1)
    widths_hz = np.diff(edges_hz)[:, None]
    distances_hz = edges_hz[:, None] - bins_hz
    rising = -distances_hz[:-2] / widths_hz[:-1]
    falling = distances_hz[2:] / widths_hz[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    triangles *= (2.0 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return torch.tensor(triangles, dtype=torch.float32)


_FILTERS = _mel_filters()
_WINDOW = torch.hann_window(_N_FFT)
