"""compose.yaml: one server for the home that hears people from its first start."""

import re
import shutil
import subprocess

import pytest
from conftest import ROOT, load, read


@pytest.fixture(scope="module")
def services() -> dict:
    return load("compose.yaml")["services"]


def test_it_is_this_release_from_the_dockerfile(services: dict, version: str) -> None:
    for service in services.values():
        assert service["image"] == f"wyoming-stt:{version}"
        assert f" AS {service['build']['target']}\n" in read("Dockerfile")


def test_it_serves_a_real_model_that_the_server_knows(services: dict) -> None:
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in services["wyoming-stt"]["command"])
    model = re.fullmatch(r"\$\{STT_MODEL:-(.+)\}", flags["model"])
    assert model
    assert f'("{model[1]}", "' in read("crates/server/src/model_store/names.rs")


def test_models_outlive_the_container_in_a_folder_that_the_server_may_write(services: dict) -> None:
    server, volume = services["wyoming-stt"], services["volume"]
    assert server["volumes"] == volume["volumes"] == ["models:/models"]
    assert "models" in load("compose.yaml")["volumes"]
    dockerfile = read("Dockerfile")
    assert "STT_DATA_DIR=/models," in dockerfile
    user = re.search(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert user
    assert volume["entrypoint"] == ["chown", user[1], "/models"]
    assert server["depends_on"]["volume"]["condition"] == "service_completed_successfully"


def test_its_health_is_what_the_image_asks(services: dict) -> None:
    asked = re.search(r"HEALTHCHECK .*\\\n    CMD \[(.+)\]", read("Dockerfile"))
    assert asked
    expected = [part.strip(' "') for part in asked[1].split(",")]
    assert services["wyoming-stt"]["healthcheck"]["test"] == ["CMD", *expected]


def test_it_has_no_rights_that_it_does_not_need(services: dict) -> None:
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    assert "user" not in services["wyoming-stt"]
    assert "cap_add" not in services["wyoming-stt"]


def test_compose_itself_takes_it() -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker compose is not on this machine")
    done = subprocess.run(["docker", "compose", "config", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
