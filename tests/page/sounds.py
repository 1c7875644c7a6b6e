"""Spoken orders, joined to what a microphone hears."""

import io
import wave
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures" / "audio"
RATE_HZ = 16_000


def order(name):
    """The samples of a fixture at 16 kHz, and its words."""
    with wave.open(str(FIXTURES / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE_HZ, 1, 2), name
        return file.readframes(file.getnframes()), (FIXTURES / f"{name}.txt").read_text().strip()


def silence(seconds):
    return bytes(2 * int(seconds * RATE_HZ))


def wav(samples):
    """A file of these samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(samples)
    return file.getvalue()


def spoken(*names, before=0.5, between=1.2, after=1.0):
    """A file of orders with pauses around them, and their words."""
    orders = [order(name) for name in names]
    samples = silence(before) + silence(between).join(samples for samples, _ in orders) + silence(after)
    return wav(samples), " ".join(words for _, words in orders)


def long(seconds):
    """A file of orders, again and again."""
    samples = b"".join(order(name)[0] + silence(0.5) for name in ("office_lights", "close_windows", "volume"))
    wanted = 2 * seconds * RATE_HZ
    return wav((samples * (wanted // len(samples) + 1))[:wanted])
