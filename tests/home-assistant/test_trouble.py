"""What goes wrong between a server and its Home Assistant: words as before, a line that says what to do, and names again
afterwards."""

from pathlib import Path

import pytest
from home import Home, Refused
from process import wait_for
from server import Server
from speech import spoken
from tls import Tls

SENTENCE = "Turn off the kitchen lights."


def add_area(home: Home, name: str) -> None:
    home.call("config/area_registry/create", name=name)


def test_a_token_that_is_revoked_needs_another(home: Home, server: Server, pipeline: str, token_file: Path) -> None:
    number = wait_for("names", 30, server.names)
    token = token_file.read_text().strip()
    home.revoke("speech", token)
    with pytest.raises(Refused, match="auth_invalid"):
        home.call("get_states", token=token)
    line = server.wait_for_line("refuses the token; make a new long-lived access token")
    assert "WARN" in line and token not in server.log()
    add_area(home, "Orangerie")
    assert server.names() == number
    events = home.run_pipeline(pipeline, spoken(SENTENCE))
    assert events["stt-end"]["stt_output"]["text"].lower() == SENTENCE.lower()
    # Home Assistant tells its owner of each refusal, so the token is shown once.
    assert server.log().count("no names of Home Assistant") == 1
    token_file.write_text(home.long_lived_token("another"))
    server.wait_for_names(number + 1)


def test_a_home_that_is_away_is_found_again(home: Home, server: Server) -> None:
    number = wait_for("names", 30, server.names)
    home.stop()
    server.wait_for_line("is Home Assistant running")
    assert server.names() == number
    assert server.page("/ready") == "ok\n"
    home.start()
    add_area(home, "Wintergarten")
    # The pause between two tries may have grown.
    server.wait_for_names(number + 1, 90)
    server.wait_for_line("Home Assistant gives names again")


def test_a_certificate_is_trusted_when_its_authority_is_given(
    home: Home, token_file: Path, tmp_path: Path, tls: Tls
) -> None:
    number = len_of_names(home, token_file, tmp_path / "plain")
    for name, authority, address, trusted in [
        ("authority", tls.authority, f"https://localhost:{tls.port}", True),
        ("itself", tls.certificate, f"https://127.0.0.1:{tls.port}", True),
        ("other", tls.other_authority, f"https://localhost:{tls.port}", False),
        ("name", tls.authority, f"https://127.0.0.1:{tls.port}", False),
        ("system", None, f"https://localhost:{tls.port}", False),
    ]:
        arguments = ["--home-assistant", address, "--home-assistant-token-file", str(token_file)]
        if authority:
            arguments += ["--home-assistant-ca", str(authority)]
        server = Server(tmp_path / name, *arguments)
        try:
            if trusted:
                server.wait_for_names(number)
            else:
                line = server.wait_for_line("no trusted connection to")
                assert "--home-assistant-ca" in line and server.names() == 0, name
        finally:
            server.stop()


def len_of_names(home: Home, token_file: Path, folder: Path) -> int:
    server = Server(folder, "--home-assistant", home.url, "--home-assistant-token-file", str(token_file))
    try:
        return wait_for("names", 30, server.names)
    finally:
        server.stop()
