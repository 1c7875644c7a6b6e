"""Names of a made-up home: as many as are asked for, the same each time."""

import random

ROOMS = (
    "Kitchen, Living Room, Dining Room, Bedroom, Guest Room, Nursery, Bathroom, Hallway, Garage, Basement, Attic, Office, "
    "Study, Library, Laundry, Pantry, Balcony, Terrace, Garden, Porch, Driveway, Workshop, Cellar, Sauna, Gym, Playroom, "
    "Conservatory, Shed, Greenhouse, Pool"
).split(", ")
THINGS = (
    "Light, Lamp, Ceiling Light, Floor Lamp, Spotlights, Fan, Heater, Thermostat, Radiator, Blind, Curtain, Shutter, "
    "Window, Door, Lock, Motion Sensor, Temperature, Humidity, Camera, Speaker, TV, Socket, Switch, Dimmer, "
    "Smoke Detector, Vacuum, Humidifier, LED Strip, Alarm, Doorbell"
).split(", ")
OWN = (
    "WLED, Zigbee2MQTT, Sonos Beam, Shelly Plug, Tradfri Gateway, Roborock, Nanoleaf, Hue Bridge, ESPHome Proxy, "
    "Tuya Siren, Aqara Cube, Frigate, Plex, Jellyfin, Pi-hole, Ecobee, Nest Hub, Roomba, Dyson, Tado, Livia, Mateo, "
    "Saoirse, Xanthe, Björn, Zoë, Kärcher, Bosch Oven, Miele Washer, Küche"
).split(", ")


def names(number):
    """Rooms and what is in them, products and people, shuffled; numbered things beyond these."""
    chance = random.Random(3)
    found = [f"{room} {thing}" for room in ROOMS for thing in THINGS] + OWN
    chance.shuffle(found)
    found += [f"{chance.choice(OWN)} {chance.choice(THINGS)} {index}" for index in range(number - len(found))]
    return found[:number]
