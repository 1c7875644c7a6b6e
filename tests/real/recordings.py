"""Recordings of people, from Debian's pocketsphinx-testdata: 16 kHz, mono, 16 bit.

Each file is checked against a sum, so that figures of two machines are of the same sound.
"""

import hashlib
import wave
from pathlib import Path

FOLDER = Path("/usr/share/pocketsphinx/test/data")
RATE = 16_000

# What each speaker was asked to say, where the package tells it.
LIBRIVOX = {
    "0870": "and mister john dashwood had then leisure to consider how much there might be prudently in his power to do for them",
    "0880": "he was not an ill disposed young man",
    "0890": "unless to be rather cold hearted and rather selfish is to be ill disposed",
    "0920": "had he married a more amiable woman he might have been made still more respectable than he was",
    "0930": "he might even have been made amiable himself",
}
WORDS = {f"librivox/sense_and_sensibility_01_austen_64kb-{number}.wav": words for number, words in LIBRIVOX.items()} | {
    "cards/001.wav": "ten of clubs",
    "cards/002.wav": "four queen of clubs",
    "cards/003.wav": "seven of clubs",
    "cards/004.wav": "five five",
    "cards/005.wav": "eight of spades four of clubs seven of hearts",
    "goforward.raw": "go forward ten meters",
    "something.raw": "go somewhere and do something",
    "numbers.raw": None,
    "tidigits/dhd.2934z.raw": "two nine three four zero",
}


def samples(name):
    """The 16-bit little-endian samples of a recording, as bytes."""
    content = (FOLDER / name).read_bytes()
    expected = SUMS.get(name)
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise SystemExit(f"{FOLDER / name} has the SHA-256 {found}, expected {expected}: is it of another release of pocketsphinx-testdata?")
    if name.endswith(".raw"):
        return content
    with wave.open(str(FOLDER / name)) as sound:
        if (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{FOLDER / name} is not 16 kHz, mono, 16 bit")
        return sound.readframes(sound.getnframes())


def silence(seconds):
    return bytes(2 * round(seconds * RATE))


def joined(names, gap_s):
    """Recordings one behind the other, with silence between them."""
    return silence(gap_s).join(samples(name) for name in names)


# Long audio: several windows, with gaps as people leave them and in more than one order.
LIBRIVOX_NAMES = [name for name in WORDS if name.startswith("librivox/")]
LONG = {
    "long/0.2s": (LIBRIVOX_NAMES * 2, 0.2),
    "long/0.6s": (LIBRIVOX_NAMES[::-1] + LIBRIVOX_NAMES, 0.6),
    "long/1.5s": (LIBRIVOX_NAMES[2:] + LIBRIVOX_NAMES[:2] + LIBRIVOX_NAMES[::2], 1.5),
    "long/3s": (LIBRIVOX_NAMES[1::2] + LIBRIVOX_NAMES + LIBRIVOX_NAMES[::-1], 3.0),
}


def write(folder):
    """Writes every recording, the long ones too, as WAV into a folder; gives the paths by name."""
    folder = Path(folder)
    sounds = {name: samples(name) for name in WORDS} | {name: joined(*parts) for name, parts in LONG.items()}
    paths = {}
    for name, content in sounds.items():
        path = folder / (name.replace("/", "_").rsplit(".wav", 1)[0].rsplit(".raw", 1)[0] + ".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, RATE, 0, "NONE", ""))
            sound.writeframes(content)
        paths[name] = path
    return paths


def words(name):
    """What was said in a recording, long or not; None where nobody wrote it down."""
    if name in LONG:
        return " ".join(WORDS[part] for part in LONG[name][0])
    return WORDS[name]


SUMS = {
    "librivox/sense_and_sensibility_01_austen_64kb-0870.wav": "b0557cf95c974d930577e58e46b7f068c432a6e3afcc286563d88922b2a5315c",
    "librivox/sense_and_sensibility_01_austen_64kb-0880.wav": "fbec491ef00ee734a67f0ee318e98c51c157b479e1629ff4f4426861ecac0414",
    "librivox/sense_and_sensibility_01_austen_64kb-0890.wav": "5793ffbdee55fb8bfd284943a6866864c832d9d4accf2661cabd39915c84ee10",
    "librivox/sense_and_sensibility_01_austen_64kb-0920.wav": "40882414ef4cc51f3ff7a63bad0c8c87e7f595ffeb8209fbf756c8ebc5c28a59",
    "librivox/sense_and_sensibility_01_austen_64kb-0930.wav": "954adbf0b56ac8a148cbe77b39ca18d76b5f2a1e1f405565bd786ce3e68a68b7",
    "cards/001.wav": "899951e768666f27c8f8b1d4090b96fe7909cae9cec01bec0a5d5d1b8a8d566e",
    "cards/002.wav": "a3f9eae6fdb69a1231989e39a14d62388a6f52fb59666c76d95005318fadafec",
    "cards/003.wav": "00d283e46bc257ae479e4aa86593cadb541656eba1d19fc8abeece37f6a5a18b",
    "cards/004.wav": "4c44a8177f5b128b99f078cdeb918119933155574231f1833e8840d1af09c521",
    "cards/005.wav": "090f18f5f76cf8b2b43cd9e6b07823f4685a4742d9a36cd98b174a6586c18cf9",
    "goforward.raw": "f15c60ec54059d8b66e410d0064945a0b0a04ea56e1ddca1958e493c0cf70e71",
    "something.raw": "eb95b74ce3f3037487e49dcfd935bbcf8c158b5f4083dd19451729c3ee694f5f",
    "numbers.raw": "45b5f6d3f88e36dd55b025cc9e8f1cae567583ea93f554ecdff6d09e6dd4577d",
    "tidigits/dhd.2934z.raw": "60c14412ad1412b83f37061e29c9e76f74cce0f90637debb8087f10cd559e552",
}
