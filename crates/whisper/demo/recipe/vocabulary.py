"""The words of the demo model's world: everything that can fill a slot of a sentence."""


def _listed(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(","))


ROOMS = _listed(
    "living room, kitchen, bedroom, bathroom, hallway, office, garage, garden, basement, attic, dining room, "
    "guest room, laundry room, nursery, porch, study"
)
LIGHTS = _listed("light, lights, lamp, ceiling light, floor lamp, desk lamp, night light, reading lamp")
DEVICES = _listed(
    "fan, heater, air conditioner, television, TV, TV, radio, speaker, coffee machine, dishwasher, "
    "washing machine, dryer, kettle, oven, humidifier, printer, computer, alarm, camera, sprinkler, music, vacuum"
)
DOORS = _listed("front door, back door, garage door, gate, side door, cellar door")
COVERS = _listed("blinds, curtains, shutters, window, windows, skylight")
COLOURS = _listed("red, green, blue, yellow, orange, purple, pink, white, warm white, cold white, turquoise, violet")
ITEMS = _listed(
    "milk, eggs, bread, butter, cheese, apples, bananas, coffee, tea, rice, pasta, tomatoes, potatoes, onions, "
    "chicken, sugar, salt, flour, soap, paper towels, orange juice, water, chocolate, yogurt, carrots, garlic, "
    "honey, cereal, fish, lemons"
)
GENRES = _listed(
    "jazz, rock, classical music, pop, the news, a podcast, my playlist, some music, relaxing music, "
    "dance music, the radio, an audiobook, a song, piano music, country music"
)
DAYS = _listed(
    "today, tomorrow, tonight, this evening, this afternoon, on Monday, on Tuesday, on Wednesday, on Thursday, "
    "on Friday, on Saturday, on Sunday, next week"
)
SCENES = _listed("movie, dinner, party, reading, night, morning, holiday, cleaning, sleep, work")
TASKS = _listed(
    "call mom, call the doctor, take out the trash, water the plants, feed the cat, feed the dog, "
    "take my medicine, buy flowers, pay the bills, check the oven, send the letter, charge the car, "
    "close the windows, go to bed, drink water, pick up the kids"
)
TIMERS = _listed("pizza, egg, laundry, bread, tea, workout, meeting, nap")
LISTS = _listed("shopping list, to-do list, grocery list")
STATES = _listed("open, closed, locked, on, off, unlocked")
ON_OFF = ("on", "off")
OPEN_CLOSE = ("open", "close")
LOCK_UNLOCK = ("lock", "unlock")
UP_DOWN = ("up", "down")
LOOSE_DURATIONS = ("half an hour", "an hour and a half", "a minute", "an hour", "two and a half minutes")
