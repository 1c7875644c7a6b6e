"""The add-on for Home Assistant: what the Supervisor and its linter ask of the folder, and that `run` reads the options."""

import importlib.machinery
import importlib.util
import json
import re
import struct
import zlib
from pathlib import Path

import pytest
from conftest import ROOT, load, read

ADDON = ROOT / "addon"
# Keys of config.yaml that are used here, and what the add-on linter takes for defaults: it wants these left out.
KEYS = {"name", "version", "slug", "description", "arch", "timeout", "ports", "environment", "backup_exclude", "options", "schema"}
DEFAULTS = {"timeout": 10, "options": {}, "schema": {}}
WRITE_DOWN = 'for word in "$@"; do echo "$word"; done'


@pytest.fixture(scope="module")
def config() -> dict:
    return load("addon/config.yaml")


def allows(rule: str, value: object) -> bool:
    """As the Supervisor reads its schemas, as far as they are used here."""
    kind, _, inside = rule.rstrip(")").partition("(")
    if kind == "match":
        return isinstance(value, str) and re.match(rule[len("match(") : -1], value) is not None
    assert kind == "int", rule
    least, most = map(int, inside.split(","))
    return isinstance(value, int) and least <= value <= most


def test_the_configuration_has_the_keys_that_must_be_there_and_no_unknown_ones(config: dict, version: str) -> None:
    assert {"name", "version", "slug", "description", "arch"} <= set(config) <= KEYS
    assert config["version"] == version
    assert re.fullmatch(r"[-_.A-Za-z0-9]+", config["slug"])
    assert set(config["arch"]) <= {"amd64", "aarch64"}
    assert not [key for key, value in DEFAULTS.items() if config.get(key) == value]


def test_every_option_has_a_rule_that_allows_its_default(config: dict) -> None:
    assert set(config["options"]) == set(config["schema"])
    for name, value in config["options"].items():
        assert allows(config["schema"][name], value), name


@pytest.mark.parametrize("value", ['a" , "language": "x', "a b", "", "--help", "a\\"])
def test_no_rule_allows_what_the_pattern_of_run_cannot_read(config: dict, value: str) -> None:
    assert not any(allows(rule, value) for rule in config["schema"].values() if rule.startswith("match"))


@pytest.mark.parametrize("language", ["en", "de"])
def test_every_option_and_port_is_explained(config: dict, language: str) -> None:
    translation = load(f"addon/translations/{language}.yaml")
    assert set(translation["configuration"]) == set(config["options"])
    assert all(set(text) == {"name", "description"} for text in translation["configuration"].values())
    assert set(translation["network"]) == set(config["ports"])


def test_it_starts_from_the_image_of_this_release(version: str) -> None:
    dockerfile = read("addon/Dockerfile")
    assert f"ARG IMAGE=wyoming-stt:{version}\nFROM ${{IMAGE}}\n" in dockerfile
    assert f"`wyoming-stt:{version}`" in read("addon/DOCS.md")


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"model": "openai/whisper-base.en", "language": "auto", "beam_size": 1},
        {"beam_size": 12, "language": "yue", "model": "base-int8"},
    ],
)
def test_run_hands_the_options_to_the_server(called: tuple, tmp_path: Path, options: dict, indent: int | None) -> None:
    install, run = called
    install("wyoming-stt", WRITE_DOWN)
    file = tmp_path / "options.json"
    file.write_text(json.dumps(options, indent=indent))
    done = run(ADDON / "run", file)
    assert done.returncode == 0, done.stderr
    flags = ["--model", options["model"], "--language", options["language"], "--beam-size", str(options["beam_size"])]
    assert done.stdout.split() == ["serve", *flags]


def test_run_names_an_option_that_is_missing(called: tuple, tmp_path: Path) -> None:
    install, run = called
    install("wyoming-stt", WRITE_DOWN)
    file = tmp_path / "options.json"
    file.write_text('{"model": "base-int8", "beam_size": 1}')
    done = run(ADDON / "run", file)
    assert done.returncode == 78
    assert 'has no "language"' in done.stderr
    assert not done.stdout


def pixels(png: bytes) -> bytes:
    """Of a PNG with one block of them."""
    at = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[at - 4 : at])
    return zlib.decompress(png[at + 4 : at + 4 + length])


@pytest.mark.parametrize(("name", "width", "height"), [("icon.png", 128, 128), ("logo.png", 250, 100)])
def test_the_pictures_are_those_that_the_script_draws(name: str, width: int, height: int) -> None:
    loader = importlib.machinery.SourceFileLoader("draw_icon", str(ADDON / "draw-icon"))
    spec = importlib.util.spec_from_loader("draw_icon", loader)
    assert spec
    draw_icon = importlib.util.module_from_spec(spec)
    loader.exec_module(draw_icon)
    there = (ADDON / name).read_bytes()
    assert struct.unpack(">2I", there[16:24]) == (width, height)
    assert pixels(there) == pixels(draw_icon.png(width, height))
