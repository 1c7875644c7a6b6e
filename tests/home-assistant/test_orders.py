"""Spoken orders, from Home Assistant through the server to a light."""

import threading

from home import Home
from server import Server
from speech import spoken

LIGHT = "light.kitchen_lights"


def test_a_spoken_order_switches_a_light(home: Home, pipeline: str) -> None:
    home.turn(LIGHT, "off")
    events = home.run_pipeline(pipeline, spoken("Switch on the kitchen lights."))
    # The name as it stands in Home Assistant.
    assert events["stt-end"]["stt_output"]["text"] == "Switch on the Kitchen Lights."
    assert events["intent-end"]["intent_output"]["response"]["response_type"] == "action_done", events
    assert home.state(LIGHT) == "on"
    home.run_pipeline(pipeline, spoken("Switch off the kitchen lights."))
    assert home.state(LIGHT) == "off"


def test_silence_is_no_order(home: Home, pipeline: str) -> None:
    events = home.run_pipeline(pipeline, bytes(2 * 16_000 * 2))
    assert events["error"]["code"] in {"stt-no-text-recognized"}, events


def test_a_server_that_is_killed_costs_one_order(home: Home, pipeline: str, server: Server) -> None:
    home.turn(LIGHT, "off")
    killing = threading.Thread(target=server.program.kill)
    events = home.run_pipeline(pipeline, spoken("Switch on the kitchen lights."), half_way=killing.start)
    killing.join()
    assert events["error"]["code"] == "stt-stream-failed", events
    assert home.state(LIGHT) == "off"
    server.start()
    events = home.run_pipeline(pipeline, spoken("Switch on the kitchen lights."))
    assert "error" not in events, events
    assert home.state(LIGHT) == "on"
