"""Sentences that a person may say to a smart home, written as Whisper would write them."""

import random
import re
from collections.abc import Callable
from functools import cache

from recipe import vocabulary
from recipe.numerals import written_number

PHRASES = """
What's the temperature?|What is the temperature?|What's the weather?|What's the time?|What is today's date?
Next track.|Skip this track.|Resume the timer.|Pause the timer.|Cancel all timers.|Stop my timer.
Turn on the lights.|Turn off the lights.|Turn the lights on.|Turn off the lights in here.
Turn on the lights in here.|Stop.|Cancel.|Pause.|Resume.|Next song.|Previous song.|Skip this song.|Volume up.
Volume down.|Louder.|Quieter.|Mute.|Good morning.|Good night.|Hello.|Thank you.|Thanks.|I'm home.|I'm leaving.
Yes.|No.|Okay.|Never mind.|Stop the music.|Pause the music.|Help.|Repeat that.|Lights on.|Lights off.
Turn it off.|Turn it on.|What time is it?|What day is it?|What's the date?|Who is at the door?|Is anyone home?
Where is my phone?|Find my phone.|What's on my calendar?|Tell me a joke.|Read the news.|Snooze.|Wake up.
Goodbye.|Start over.|Play the next song.|Turn everything off.|Turn off all the lights.|Close all the blinds.
Lock all the doors.|Open everything.|Make it warmer.|Make it colder.|It's too dark.|It's too bright.
It's cold in here.|It's too hot.
"""

# A digit behind a slot's name only makes it a second slot of the same kind.
COMMANDS = """
turn {switch} the {room} {light}|turn {switch} the {light} in the {room}|turn the {room} {light} {switch}
switch {switch} the {light}|switch {switch} the {room} {light}|turn {switch} the {device}
turn {switch} the {device} in the {room}|turn the {device} {switch}|switch the {room} {device} {switch}
dim the {room} {light}|dim the {light} to {percent}|dim the {room} {light} to {percent}
set the {room} {light} to {colour}|make the {light} {colour}|change the {light} in the {room} to {colour}
set the brightness to {percent}|set the {light} to {percent} brightness|set the {room} brightness to {percent}
{move} the {door}|{move} the {cover}|{move} the {room} {cover}|{move} the {cover} in the {room}
{move} the {cover} to {percent}|{lock} the {door}|set the thermostat to {degrees}
set the temperature to {degrees}|set the {room} temperature to {degrees}
set the heating in the {room} to {degrees}|turn {level} the heating|turn {level} the {device}
turn {level} the volume|turn the volume {level}|set the volume to {number}|set the volume to {percent}
set a timer for {duration}|set a {timer} timer for {duration}|start a timer for {duration}
set a timer for {duration} and {duration2}|start a timer for {duration}|create a timer for {duration}
cancel the {timer} timer|resume the {timer} timer|pause the {device}|resume the {device}
skip this track on the {device}|run the {scene} script|set the color of the {room} {light} to {colour}
turn {switch} all of the {light} in the {room}|turn {switch} {light} in the {room}
set {room} {light} to {colour}|cancel the timer|add {duration} to the timer|set an alarm for {time}
wake me up at {time}|wake me at {time} {day}|cancel the alarm|remind me to {task}
remind me to {task} at {time}|remind me to {task} in {duration}|remind me to {task} {day}|play {genre}
play {genre} in the {room}|play {genre} on the {room} speaker|stop the {device}|start the {device}
start the vacuum in the {room}|clean the {room}|add {item} to the {list}|add {item} and {item2} to the {list}
add {item}, {item2} and {item3} to the {list}|add {number} {item} to my {list}|remove {item} from the {list}
put {item} on the {list}|turn {switch} the {device} for {duration}|turn {switch} the {light} in {duration}
turn {switch} the {light} at {time}|activate the {scene} scene|start {scene} mode|turn {switch} {scene} mode
turn {switch} the {room} {light} and the {device}|turn {switch} the {room} {light} and {move} the {cover}
show me the {room} camera|turn {switch} all the {room} lights|arm the alarm
{lock} the {door} and turn {switch} the {room} {light}|tell me the weather {day}|call the {room}
announce that dinner is ready
"""

QUESTIONS = """
what's the temperature in the {room}|how warm is it in the {room}|how cold is it outside
is the {door} {state}|is the {room} {light} {switch}|is the {device} {switch}
is the {cover} in the {room} {state}|did I leave the {device} on|did I lock the {door}
what's the weather {day}|what's the weather in the {room}|what is the temperature of the {device}
what is the weather like {day}|will it rain {day}|will it be sunny {day}|how much time is left on the timer
how much time is left on the {timer} timer|when is my next alarm|how many lights are on
which lights are on in the {room}|which windows are open|what's on the {list}|do I need {item}
is there any {item} on the {list}|what is {number} plus {number2}|what is {number} times {number2}
what time is my meeting {day}|what's playing in the {room}|who is at the {door}
what is the humidity in the {room}|when does the sun set {day}|do I need an umbrella {day}
"""


def sentence(rng: random.Random) -> str:
    """One sentence with its capital and full stop; a sixth are words in a row that mean nothing.

    Those keep the decoder listening: without them it learns to guess from the language alone.
    """
    kind = rng.random()
    if kind < 0.06:
        return rng.choice(_entries(PHRASES))
    if kind < 0.22:
        return _random_words(rng)
    if kind < 0.44:
        return _capitalised(_filled(rng.choice(_entries(QUESTIONS)), rng)) + "?"
    return _command(rng)


@cache
def loose_words() -> tuple[str, ...]:
    """Every word of the vocabulary and the templates that can stand alone in lower case."""
    groups = (
        vocabulary.ROOMS, vocabulary.LIGHTS, vocabulary.DEVICES, vocabulary.DOORS, vocabulary.COVERS,
        vocabulary.COLOURS, vocabulary.ITEMS, vocabulary.GENRES, vocabulary.DAYS, vocabulary.SCENES,
        vocabulary.TASKS, vocabulary.TIMERS,
    )  # fmt: skip
    words = {word for group in groups for entry in group for word in entry.split()}
    for template in _entries(COMMANDS) + _entries(QUESTIONS):
        words.update(_SLOT.sub("", template).replace(",", "").split())
    for phrase in _entries(PHRASES):
        words.update(phrase.strip(".?").lower().split())
    # Written otherwise alone than in a sentence, or hardly audible alone.
    return tuple(sorted(words - {"i'm", "to-do", "okay", "a"}))


def _command(rng: random.Random) -> str:
    command = _filled(rng.choice(_entries(COMMANDS)), rng)
    manner = rng.random()
    if manner < 0.1:
        command = f"please {command}"
    elif manner < 0.2:
        return f"Can you {command}?"
    elif manner < 0.25:
        return f"Could you please {command}?"
    elif manner < 0.3:
        command = f"{command}, please"
    elif manner < 0.33:
        command = f"I want you to {command}"
    return _capitalised(command) + ("" if command.endswith(".m.") else ".")


def _random_words(rng: random.Random) -> str:
    words = (
        written_number(rng.randrange(101)) if rng.random() < 0.2 else rng.choice(loose_words())
        for _ in range(rng.randrange(1, 8))
    )
    return _capitalised(" ".join(words)) + "."


_SLOT = re.compile(r"\{([a-z]+)\d?\}")


def _filled(template: str, rng: random.Random) -> str:
    return _SLOT.sub(lambda slot: _FILLERS[slot[1]](rng), template)


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


@cache
def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry for line in text.strip().splitlines() for entry in line.split("|"))


def _one_of(entries: tuple[str, ...]) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(entries)


def _time(rng: random.Random) -> str:
    hour, minute = rng.randrange(1, 13), 5 * rng.randrange(12)
    if minute:
        return f"{hour}:{minute:02d}"
    if rng.random() < 1 / 3:
        return f"{written_number(hour)} o'clock"
    return f"{hour} {rng.choice(('a.m.', 'p.m.'))}"


def _duration(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.45:
        return _counted(rng.randrange(1, 61), "minute")
    if kind < 0.7:
        return _counted(rng.randrange(5, 100), "second")
    if kind < 0.9:
        return _counted(rng.randrange(1, 25), "hour")
    return rng.choice(vocabulary.LOOSE_DURATIONS)


def _counted(number: int, unit: str) -> str:
    return f"{written_number(number)} {unit}{'' if number == 1 else 's'}"


def _percent(rng: random.Random) -> str:
    return f"{rng.choice((*range(0, 101, 5), *range(1, 100)))}%"


def _degrees(rng: random.Random) -> str:
    return f"{written_number(rng.choice((*range(10, 31), *range(50, 90), *range(1, 10))))} degrees"


def _number(rng: random.Random) -> str:
    return written_number(rng.randrange(101))


_FILLERS: dict[str, Callable[[random.Random], str]] = {
    "room": _one_of(vocabulary.ROOMS),
    "light": _one_of(vocabulary.LIGHTS),
    "device": _one_of(vocabulary.DEVICES),
    "door": _one_of(vocabulary.DOORS),
    "cover": _one_of(vocabulary.COVERS),
    "colour": _one_of(vocabulary.COLOURS),
    "item": _one_of(vocabulary.ITEMS),
    "genre": _one_of(vocabulary.GENRES),
    "day": _one_of(vocabulary.DAYS),
    "scene": _one_of(vocabulary.SCENES),
    "task": _one_of(vocabulary.TASKS),
    "timer": _one_of(vocabulary.TIMERS),
    "list": _one_of(vocabulary.LISTS),
    "state": _one_of(vocabulary.STATES),
    "switch": _one_of(vocabulary.ON_OFF),
    "move": _one_of(vocabulary.OPEN_CLOSE),
    "lock": _one_of(vocabulary.LOCK_UNLOCK),
    "level": _one_of(vocabulary.UP_DOWN),
    "time": _time,
    "duration": _duration,
    "percent": _percent,
    "degrees": _degrees,
    "number": _number,
}
