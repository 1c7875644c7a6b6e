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


def test_an_order_that_the_server_ended_is_done_where_home_assistant_goes_on_sending(
    home: Home, pipeline: str, server: Server
) -> None:
    """Releases before 2026.10 have their own detector of speech, and end the audio a little later."""
    home.turn(LIGHT, "off")
    arguments = server.arguments
    server.stop()
    server.arguments = (*arguments, "--endpointing", "0.3")
    server.start()
    try:
        for to in ("on", "off"):
            events = home.run_pipeline(pipeline, spoken(f"Switch {to} the kitchen lights."))
            assert "error" not in events, events
            assert home.state(LIGHT) == to
        assert 'stt_ended_utterances_total{reason="silence"} 2' in server.page("/metrics").splitlines()
    finally:
        server.stop()
        server.arguments = arguments
        server.start()
