"""The names of a home: read with a token that may change nothing, and again when they change."""

import json

import pytest
from home import Home
from server import Server
from speech import spoken


def expected(home: Home) -> set[str]:
    """The names of a home, by questions of an administrator: an entity has the name that it is shown with."""
    exposed = {
        entity
        for entity, assistants in home.call("homeassistant/expose_entity/list")["exposed_entities"].items()
        if assistants.get("conversation")
    }
    names = set()
    for kind in "area", "floor":
        for place in home.call(f"config/{kind}_registry/list"):
            names |= {place["name"], *place["aliases"]}
    for state in home.get("/api/states"):
        if state["entity_id"] in exposed:
            names.add(state["attributes"].get("friendly_name"))
    registered = [entry["entity_id"] for entry in home.call("config/entity_registry/list")]
    asked = [entity for entity in registered if entity in exposed]
    for entry in home.call("config/entity_registry/get_entries", entity_ids=asked).values():
        names.update(entry["aliases"])
    # Two spellings of a name are one.
    return {name.lower() for name in names if name}


def test_the_names_are_those_that_assist_knows(home: Home, server: Server) -> None:
    names = expected(home)
    assert {"kitchen lights", "living room"} <= names and len(names) > 20, names
    server.wait_for_names(len(names))
    told = json.loads(server.page("/info"))
    assert told["asr"] and told["names"]["total"] == len(names)


def test_a_name_that_is_added_is_expected_at_once(home: Home, server: Server) -> None:
    number = len(expected(home))
    server.wait_for_names(number)
    area = home.call("config/area_registry/create", name="Zwischengeschoss", aliases=["Mezzanin"])
    server.wait_for_names(number + 2)
    floor = home.call("config/floor_registry/create", name="Souterrain", aliases=[])
    server.wait_for_names(number + 3)
    home.call("config/entity_registry/update", entity_id="light.bed_light", aliases=["Nachttischlampe", "bed light"])
    server.wait_for_names(number + 4)
    home.call("config/entity_registry/update", entity_id="light.bed_light", name="Bettlampe", aliases=[])
    server.wait_for_names(number + 3)
    home.call("homeassistant/expose_entity", assistants=["conversation"], entity_ids=["light.bed_light"], should_expose=False)
    server.wait_for_names(number + 2)
    assert len(expected(home)) == number + 2
    home.call("homeassistant/expose_entity", assistants=["conversation"], entity_ids=["light.bed_light"], should_expose=True)
    home.call("config/entity_registry/update", entity_id="light.bed_light", name=None)
    home.call("config/area_registry/delete", area_id=area["area_id"])
    home.call("config/floor_registry/delete", floor_id=floor["floor_id"])
    server.wait_for_names(number)


def test_the_log_has_neither_the_token_nor_names(server: Server, token_file) -> None:
    log = server.log()
    assert "names to expect" in log
    assert token_file.read_text().strip() not in log
    for name in "Kitchen Lights", "Zwischengeschoss":
        assert name not in log


# Names that tiny.en writes otherwise ("Shelley") while it does not expect them.
ONLY_WITH_NAMES = ["Shelly"]
LAMP = "light.office_rgbw_lights"


def order(home: Home, pipeline: str, pcm: bytes) -> tuple[str, str]:
    """The words of an order, and the state of the lamp after it."""
    home.turn(LAMP, "off")
    events = home.run_pipeline(pipeline, pcm)
    return events["stt-end"]["stt_output"]["text"], home.state(LAMP)


@pytest.mark.parametrize("name", ONLY_WITH_NAMES)
def test_an_order_is_only_right_with_the_names(home: Home, pipeline: str, server: Server, name: str) -> None:
    pcm = spoken(f"Switch on the {name}.")
    words, state = order(home, pipeline, pcm)
    assert name not in words and state == "off", "it is right without the names too"
    number = len(expected(home))
    home.call("config/entity_registry/update", entity_id=LAMP, aliases=[name])
    try:
        server.wait_for_names(number + 1)
        words, state = order(home, pipeline, pcm)
        assert name in words and state == "on", words
    finally:
        home.call("config/entity_registry/update", entity_id=LAMP, aliases=[])
        server.wait_for_names(number)
