"""Who speaks: the voices of the training, and those that the model never hears before its measurement."""

import random
from dataclasses import dataclass
from typing import Literal

Engine = Literal["espeak", "flite", "festival"]


@dataclass(frozen=True)
class Voice:
    """One way of speaking: an engine, one of its voices, and how fast and high it talks."""

    engine: Engine
    name: str
    # espeak-ng only: words a minute, and pitch from 0 to 99.
    words_per_minute: int = 160
    pitch: int = 50
    # flite and festival only: 1.2 is a fifth slower.
    stretch: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.engine}:{self.name}"


HELD_OUT_VOICES = (
    Voice("espeak", "en-gb-x-rp+f2", words_per_minute=150, pitch=55),
    Voice("festival", "cmu_us_slt_arctic_hts"),
    Voice("espeak", "en-gb-scotland+m7"),
    Voice("espeak", "en-us+f5"),
)

# American English is what most assistants are set to, so it gets three tickets.
_ESPEAK_ACCENTS = (
    "en-us en-us en-us en-gb en-gb en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-gb-x-gbcwmd en-029"
).split()
# f2, f5 and m7 are held out under every accent.
_ESPEAK_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m8 f1 f3 f4 adam Alex Alicia Andrea Andy Annie antonio belinda benjamin boris caleb david "
    "Denis Diogo ed edward Gene Gene2 gustave Henrique Hugo iven iven2 iven3 Jacky john Lee linda Marco Mario max "
    "Michael michel miguel Mike Nguyen pablo paul pedro quincy rob robert sandro shelby steph steph2 steph3 travis "
    "victor zac anika AnxiousAndy grandma grandpa klatt klatt2 klatt3 klatt4 norbert marcelo aunty"
).split()
# The one female voice gets two tickets.
_FLITE_VOICES = ("kal16", "awb", "rms", "slt", "slt")
_FESTIVAL_VOICES = ("kal_diphone", "ked_diphone")


def training_voice(rng: random.Random) -> Voice:
    """A voice of the training: 62 % espeak-ng, 24 % flite, 14 % festival."""
    ticket = rng.random()
    if ticket < 0.62:
        accent = rng.choice(_ESPEAK_ACCENTS)
        # Without a variant the bare accent speaks.
        name = f"{accent}+{rng.choice(_ESPEAK_VARIANTS)}" if rng.random() < 0.93 else accent
        return Voice("espeak", name, words_per_minute=rng.randint(115, 215), pitch=rng.randint(20, 80))
    if ticket < 0.86:
        return Voice("flite", rng.choice(_FLITE_VOICES), stretch=rng.uniform(0.8, 1.25))
    return Voice("festival", rng.choice(_FESTIVAL_VOICES), stretch=rng.uniform(0.8, 1.25))
