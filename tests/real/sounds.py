#!/usr/bin/env python3
"""Makes audio in which nobody speaks, and variants of recordings in which somebody does.

sounds.py nothing OUT [--noise FILE] [--seed N]   writes one WAV for each sound without speech (silence, noises, tones,
                                                  machines, music), at several lengths and levels; with --noise also
                                                  24 pieces of that recording
sounds.py quieter OUT FACTOR FILE...              the recordings, FACTOR times as loud (0.01: a hundredth)
sounds.py noisy OUT NOISE DB FILE...              the recordings with NOISE mixed in, DB decibels below the voice
sounds.py joined OUT.wav GAP FILE...              the recordings one after the other with GAP seconds of silence between

WAV, RAW (16 kHz, 16 bit, mono) and, where the Python packages soundfile or av are installed, FLAC are read. Everything is
written as mono 16 kHz 16-bit WAV. The same seed gives the same bytes.
"""
import os
import sys
import wave

import numpy as np

RATE = 16_000


# ---- reading and writing

def read(path):
    """Samples within -1..1, mono, 16 kHz."""
    if path.endswith(".raw"):
        return np.fromfile(path, "<i2").astype(np.float64) / 32768
    if path.endswith(".wav"):
        with wave.open(path) as file:
            assert (file.getframerate(), file.getsampwidth()) == (RATE, 2), f"{path}: not 16 kHz, 16 bit"
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
            return pcm.mean(axis=1) / 32768
    return read_compressed(path)


def read_compressed(path):
    try:
        import soundfile
    except ImportError:
        try:
            import av
        except ImportError:
            sys.exit(f"{path}: install soundfile or av to read it, or convert it to WAV")
        with av.open(path) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
        return np.concatenate(parts).astype(np.float64) / 32768
    samples, rate = soundfile.read(path, always_2d=True)
    assert rate == RATE, f"{path}: not 16 kHz"
    return samples.mean(axis=1)


def write(path, samples):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(np.round(np.asarray(samples) * 32768), -32768, 32767).astype("<i2").tobytes())


# ---- variants of recordings

def rms(samples):
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def voice_level(samples):
    """Root mean square of the loudest half of the 20 ms blocks: the voice's, not that of the pauses."""
    blocks = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    if not len(blocks):
        return rms(samples)
    powers = np.sort(np.mean(np.square(blocks), axis=1))
    return float(np.sqrt(np.mean(powers[len(powers) // 2:])))


def noisy(voice, noise, db, offset=0):
    """`noise` from sample `offset` on, repeated as needed, this many decibels below the voice."""
    piece = np.take(noise, np.arange(offset, offset + len(voice)), mode="wrap")
    mixed = voice + piece * (voice_level(voice) * 10 ** (-db / 20) / max(rms(piece), 1e-9))
    return mixed / max(1.0, np.abs(mixed).max() / 0.99)


def joined(parts, gap_s):
    gap = np.zeros(int(gap_s * RATE))
    return np.concatenate([piece for part in parts for piece in (part, gap)][:-1])


# ---- building blocks of sounds without speech; `n` samples, peak about 1

def times(n):
    return np.arange(n) / RATE


def white(rng, n):
    return rng.standard_normal(n) / 4


def coloured(rng, n, exponent):
    """Noise whose power falls with frequency to this exponent: 1 is pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20)
    return level(np.fft.irfft(spectrum / hz ** (exponent / 2), n), 0.25)


def band(samples, low_hz, high_hz):
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum *= 1 / (1 + (low_hz / np.maximum(hz, 1)) ** 4) / (1 + (hz / high_hz) ** 4)
    return np.fft.irfft(spectrum, len(samples))


def level(samples, root_mean_square):
    return samples * (root_mean_square / max(rms(samples), 1e-12))


def peak(samples, to=0.9):
    return samples * (to / max(np.abs(samples).max(), 1e-12))


def tone(n, hz, phase=0.0):
    return np.sin(2 * np.pi * hz * times(n) + phase)


def harmonics(n, hz, amplitudes):
    return peak(sum(a * tone(n, hz * (k + 1), k) for k, a in enumerate(amplitudes)))


def glide(hz_per_sample):
    return np.sin(2 * np.pi * np.cumsum(hz_per_sample) / RATE)


def decay(n, seconds):
    return np.exp(-times(n) / seconds)


def pluck(rng, n, hz, damping=0.996):
    """A plucked string: Karplus and Strong 1983."""
    period = max(int(RATE / hz), 2)
    line, out = rng.uniform(-1, 1, period), []
    while len(out) * period < n:
        out.append(line)
        line = damping * (line + np.roll(line, -1)) / 2
    return np.concatenate(out)[:n]


def scattered(rng, n, per_s, event):
    """Events at random times; `event(rng)` gives the samples of one."""
    out = np.zeros(n)
    for start in rng.integers(0, n, max(1, int(per_s * n / RATE))):
        one = event(rng)[: n - start]
        out[start:start + len(one)] += one
    return peak(out)


def regular(rng, n, every_s, event):
    out = np.zeros(n)
    for index, start in enumerate(range(int(0.1 * RATE), n, int(every_s * RATE))):
        one = event(rng, index)[: n - start]
        out[start:start + len(one)] += one
    return peak(out)


def gate(n, on_s, off_s, ramp_s=0.005):
    phase = times(n) % (on_s + off_s)
    return np.clip(np.minimum(phase, on_s - phase) / ramp_s, 0, 1)


NOTES = [261.63, 293.66, 329.63, 349.23, 392.0, 440.0, 493.88, 523.25]


# ---- sounds without speech: (rng, n) -> samples

def thud(rng, hz, length_s=0.12):
    n = int(length_s * RATE)
    return (tone(n, hz * rng.uniform(0.9, 1.1)) + 0.4 * white(rng, n)) * decay(n, 0.03)


def click(rng):
    n = int(0.004 * RATE)
    return white(rng, n) * decay(n, 0.001)


def clink(rng, low=1500, high=6000):
    n = int(0.5 * RATE)
    return sum(tone(n, rng.uniform(low, high)) for _ in range(4)) * decay(n, 0.08)


def dtmf(rng, n):
    rows, columns = [697, 770, 852, 941], [1209, 1336, 1477]
    length = int(0.12 * RATE)
    return regular(rng, n, 0.2, lambda rng, _: tone(length, rng.choice(rows)) + tone(length, rng.choice(columns)))


def melody(rng, n):
    length = int(0.35 * RATE)
    return regular(rng, n, 0.3, lambda rng, _: harmonics(length, rng.choice(NOTES), [1, 0.5, 0.3, 0.2]) * decay(length, 0.2))


def chords(rng, n):
    length = int(1.2 * RATE)

    def chord(rng, _):
        root = int(rng.integers(0, 4))
        voices = [harmonics(length, NOTES[root + k], [1, 0.6, 0.4, 0.25, 0.15]) for k in (0, 2, 4)]
        return sum(voices) * np.minimum(1, times(length) / 0.02) * decay(length, 0.8)
    return regular(rng, n, 1.0, chord)


def strings(rng, n):
    vibrato = 1 + 0.01 * np.sin(2 * np.pi * 5.5 * times(n))
    step = np.asarray(NOTES)[(times(n) / 0.8).astype(int) % len(NOTES)] / 2
    phase = np.cumsum(step * vibrato) / RATE
    return peak(sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 12)))


def drums(rng, n):
    kick = lambda rng, _: glide(np.linspace(120, 45, int(0.2 * RATE))) * decay(int(0.2 * RATE), 0.06)
    hat = lambda rng, _: band(white(rng, int(0.06 * RATE)), 5000, 8000) * decay(int(0.06 * RATE), 0.02)
    return peak(regular(rng, n, 0.5, kick) + 0.4 * regular(rng, n, 0.25, hat))


def band_playing(rng, n):
    return peak(drums(rng, n) + 0.7 * chords(rng, n) + 0.5 * melody(rng, n))


def plucked(rng, n):
    return peak(pluck(rng, n, rng.uniform(80, 400)))


def arpeggio(rng, n):
    return regular(rng, n, 0.25, lambda rng, k: pluck(rng, int(1.0 * RATE), NOTES[(3 * k) % len(NOTES)]))


def fan(rng, n):
    blades = 1 + 0.3 * tone(n, rng.uniform(15, 40))
    return peak(coloured(rng, n, 1.2) * blades + 0.1 * tone(n, 120))


def dishwasher(rng, n):
    wash = band(coloured(rng, n, 0.7), 150, 2500) * (1 + 0.6 * tone(n, rng.uniform(0.4, 1.2)))
    return peak(wash + 0.15 * harmonics(n, 100, [1, 0.3, 0.5]) + 0.2 * scattered(rng, n, 1.5, lambda rng: thud(rng, 180)))


def vacuum(rng, n):
    return peak(band(white(rng, n), 200, 6000) + 0.3 * harmonics(n, rng.uniform(250, 400), [1, 0.5, 0.6, 0.3]))


def engine(rng, n):
    hz = rng.uniform(25, 45) * (1 + 0.05 * np.sin(2 * np.pi * 0.3 * times(n)))
    phase = np.cumsum(hz) / RATE
    return peak(sum(np.sin(2 * np.pi * k * phase) / k ** 0.7 for k in range(1, 40)) + coloured(rng, n, 1))


def wind(rng, n):
    swell = np.interp(times(n), np.arange(0, n / RATE + 2), rng.uniform(0.2, 1, int(n / RATE) + 2))
    return peak(band(coloured(rng, n, 1.5), 30, 900) * swell)


def rain(rng, n):
    drop = lambda rng: clink(rng, 2000, 7000)[:160] * rng.uniform(0.1, 1)
    return peak(scattered(rng, n, 150, drop) + 0.2 * band(white(rng, n), 1000, 8000))


def water(rng, n):
    def bubble(rng):
        length = int(rng.uniform(0.02, 0.06) * RATE)
        start = rng.uniform(400, 1600)
        return glide(np.linspace(start, 1.6 * start, length)) * decay(length, 0.02)
    return peak(scattered(rng, n, 40, bubble) + 0.3 * band(white(rng, n), 500, 5000))


def bursts(rng, n):
    """Noise with the rhythm of syllables."""
    return peak(band(white(rng, n), 300, 4000) * gate(n, 0.15, 0.1, 0.04))


def whistle(rng, n):
    hz = np.interp(times(n), np.arange(0, n / RATE + 2) * 0.7, rng.uniform(800, 2200, int(n / RATE) + 2))
    return 0.9 * glide(hz * (1 + 0.01 * np.sin(2 * np.pi * 6 * times(n))))


def siren(rng, n):
    return 0.9 * glide(900 + 400 * np.sin(2 * np.pi * 0.4 * times(n)))


def buzzer(rng, n):
    return 0.8 * np.sign(tone(n, rng.uniform(90, 220)))


def heartbeat(rng, n):
    return regular(rng, n, 0.9, lambda rng, _: thud(rng, 55, 0.2))


def printer(rng, n):
    return peak(band(white(rng, n), 800, 5000) * gate(n, 0.05, 0.05) + 0.3 * tone(n, 340) * gate(n, 0.6, 0.4))


SOUNDS = {
    "silence": lambda rng, n: np.zeros(n),
    "offset": lambda rng, n: np.full(n, 0.1),
    "white": white,
    "pink": lambda rng, n: coloured(rng, n, 1),
    "brown": lambda rng, n: coloured(rng, n, 2),
    "blue": lambda rng, n: coloured(rng, n, -1),
    "hiss": lambda rng, n: level(band(white(rng, n), 3000, 8000), 0.2),
    "tone": lambda rng, n: 0.9 * tone(n, rng.uniform(200, 3000)),
    "tones": lambda rng, n: peak(tone(n, 440) + tone(n, 1000) + tone(n, 2500)),
    "hum": lambda rng, n: harmonics(n, rng.choice([50, 60]), [1, 0.5, 0.3, 0.2, 0.1]),
    "buzz": lambda rng, n: harmonics(n, rng.choice([100, 120]), 1 / np.arange(1, 30)),
    "buzzer": buzzer,
    "sweep": lambda rng, n: 0.9 * glide(np.geomspace(100, 7000, n)),
    "sweeps": lambda rng, n: 0.9 * glide(200 + 3000 * (times(n) % 1.0)),
    "siren": siren,
    "whistle": whistle,
    "beeps": lambda rng, n: tone(n, 2000) * gate(n, 0.15, 0.35),
    "alarm": lambda rng, n: peak(np.sign(tone(n, 2700)) * gate(n, 0.08, 0.08) * gate(n, 0.6, 0.5)),
    "ring": lambda rng, n: peak((tone(n, 440) + tone(n, 480)) * gate(n, 2.0, 1.0)),
    "dtmf": dtmf,
    "clicks": lambda rng, n: scattered(rng, n, 5, click),
    "metronome": lambda rng, n: regular(rng, n, 0.5, lambda rng, _: click(rng)),
    "typing": lambda rng, n: scattered(rng, n, 7, lambda rng: np.concatenate([click(rng), np.zeros(900), 0.5 * click(rng)])),
    "knocks": lambda rng, n: regular(rng, n, 0.25, lambda rng, k: thud(rng, 160) * (k % 8 < 3)),
    "footsteps": lambda rng, n: regular(rng, n, 0.55, lambda rng, _: thud(rng, 90)),
    "heartbeat": heartbeat,
    "clinks": lambda rng, n: scattered(rng, n, 2, clink),
    "bell": lambda rng, n: regular(rng, n, 1.5, lambda rng, _: sum(
        tone(2 * RATE, 520 * f) * decay(2 * RATE, 1 / f) for f in (1, 2.76, 5.4, 8.9))),
    "plucked": plucked,
    "arpeggio": arpeggio,
    "melody": melody,
    "chords": chords,
    "strings": strings,
    "drums": drums,
    "band": band_playing,
    "fan": fan,
    "vacuum": vacuum,
    "dishwasher": dishwasher,
    "engine": engine,
    "wind": wind,
    "rain": rain,
    "water": water,
    "bursts": bursts,
    "printer": printer,
}

# Loudness of each file: as made, and three quieter ones down to what 16 bits barely hold.
LEVELS = [1.0, 0.1, 0.01, 0.001]
LENGTHS_S = [1, 3, 8, 30]
NOISES = ["white", "pink", "brown"]


def nothing(seed, noise=None):
    """Names and samples of the set. Noises have every level; every other sound has each level at one length."""
    for name, make in SOUNDS.items():
        for index, (gain, length_s) in enumerate(zip(LEVELS, LENGTHS_S)):
            rng = np.random.default_rng([seed, index, *name.encode()])
            # The lengths turn with the name, so that each is heard at each level somewhere.
            length_s = LENGTHS_S[(index + len(name)) % len(LENGTHS_S)]
            yield f"{name}-{gain:g}-{length_s}s", gain * make(rng, int(length_s * RATE))
    for name in NOISES:
        for gain in LEVELS:
            for length_s in (2, 10):
                rng = np.random.default_rng([seed, length_s, *name.encode()])
                yield f"{name}-{gain:g}-{length_s}s", gain * SOUNDS[name](rng, length_s * RATE)
    if noise is None:
        return
    for index in range(24):
        length = int([1, 2, 3, 5, 10, 30][index % 6] * RATE)
        start = index * (len(noise) - length) // 24
        gain = LEVELS[index // 6] if index % 2 else 1.0
        yield f"room-{index:02}-{gain:g}-{length // RATE}s", gain * noise[start:start + length]


def main(arguments):
    def wav(folder, path):
        return os.path.join(folder, os.path.splitext(os.path.basename(path))[0] + ".wav")

    def option(name, default):
        return arguments[arguments.index(name) + 1] if name in arguments else default

    match arguments:
        case ["nothing", out, *_]:
            noise = option("--noise", None)
            for name, samples in nothing(int(option("--seed", 1)), noise and read(noise)):
                write(os.path.join(out, name + ".wav"), samples)
        case ["quieter", out, factor, *files]:
            for path in files:
                write(wav(out, path), float(factor) * read(path))
        case ["noisy", out, noise, db, *files]:
            noise = read(noise)
            for index, path in enumerate(files):
                write(wav(out, path), noisy(read(path), noise, float(db), index * 7919))
        case ["joined", out, gap, *files]:
            write(out, joined([read(path) for path in files], float(gap)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
