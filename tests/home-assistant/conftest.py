"""One Home Assistant for all tests, and a server that it knows."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from home import Home
from server import Server
from tls import Tls

WEIGHTS = Path(os.environ["STT_REAL_WEIGHTS"]) / "tiny.en"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("home") / "config")
    try:
        home.onboard()
        yield home
    finally:
        home.stop()


@pytest.fixture(scope="session")
def token_file(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The token of a user without an administrator's rights, which is enough."""
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(home.token_of_new_user("speech") + "\n")
    return path


@pytest.fixture(scope="session")
def server(home: Home, token_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows the home, as the home knows it."""
    server = Server(
        tmp_path_factory.mktemp("server") / "stt",
        *("--model", str(WEIGHTS), "--keep-packed", "false"),
        *("--home-assistant", home.url, "--home-assistant-token-file", str(token_file)),
    )
    try:
        home.add_wyoming("127.0.0.1", server.port)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def pipeline(home: Home, server: Server) -> str:
    """An assistant that hears with the server."""
    engine = next(state["entity_id"] for state in home.get("/api/states") if state["entity_id"].startswith("stt.wyoming"))
    made = home.call(
        "assist_pipeline/pipeline/create",
        name="Speech",
        language="en",
        conversation_engine="conversation.home_assistant",
        conversation_language="en",
        stt_engine=engine,
        stt_language="en",
        tts_engine=None,
        tts_language=None,
        tts_voice=None,
        wake_word_entity=None,
        wake_word_id=None,
    )
    return made["id"]


@pytest.fixture
def tls(home: Home, tmp_path: Path) -> Iterator[Tls]:
    """A door with TLS before the home."""
    tls = Tls(tmp_path, home.port)
    yield tls
    tls.stop()
