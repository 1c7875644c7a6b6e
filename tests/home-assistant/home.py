"""A Home Assistant of its own: a folder, a port, an owner, and what its websocket can be asked."""

import asyncio
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
from process import Program, free_port, wait_for

CONFIGURATION = """
homeassistant:
  name: Test home
  latitude: 52
  longitude: 13
  unit_system: metric
  time_zone: UTC
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
websocket_api:
config:
onboarding:
auth:
demo:
conversation:
assist_pipeline:
logger:
  default: warning
"""
PASSWORD = "a password that is no secret"
# An utterance of some seconds, recognised on a busy machine.
PIPELINE_SECONDS = 60


class Refused(Exception):
    """A command that Home Assistant refuses, by its code."""


class Home:
    """One Home Assistant; it ends with `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = ""
        folder.mkdir(parents=True)
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        self.start()

    def start(self) -> None:
        """Starts it on its folder, which keeps everything from one start to the next."""
        # What it needs is installed: it must not look for more.
        command = [sys.executable, "-m", "homeassistant", "--config", str(self.folder), "--skip-pip"]
        self.program = Program(command, self.folder / "output.log")
        wait_for("Home Assistant answers", 180, self._is_up)

    def _is_up(self) -> bool:
        assert self.program.is_running(), self.program.log()
        try:
            self.get("/api/onboarding")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.program.stop()

    def get(self, path: str) -> Any:
        return self._request(urllib.request.Request(self.url + path))

    def post(self, path: str, body: dict[str, Any], *, is_form: bool = False) -> Any:
        data = urllib.parse.urlencode(body) if is_form else json.dumps(body)
        kind = "application/x-www-form-urlencoded" if is_form else "application/json"
        request = urllib.request.Request(self.url + path, data.encode(), {"Content-Type": kind})
        return self._request(request)

    def _request(self, request: urllib.request.Request) -> Any:
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def onboard(self) -> None:
        """Makes its owner. The later steps would set up integrations that look for the weather."""
        owner = {"client_id": self.url, "name": "Owner", "username": "owner", "password": PASSWORD, "language": "en"}
        code = self.post("/api/onboarding/users", owner)["auth_code"]
        self.token = self._tokens(code)["access_token"]
        # Tokens of a login end after half an hour.
        self.token = self.long_lived_token("tests")

    def _tokens(self, code: str) -> dict[str, Any]:
        grant = {"grant_type": "authorization_code", "code": code, "client_id": self.url}
        return self.post("/auth/token", grant, is_form=True)

    def long_lived_token(self, name: str, of: str | None = None) -> str:
        """As the page of a user's profile makes it. `of`: a token of that user, the owner's without."""
        return self.call("auth/long_lived_access_token", client_name=name, lifespan=365, token=of)

    def token_of_new_user(self, name: str) -> str:
        """A long-lived token of a user who is no administrator."""
        user = self.call("config/auth/create", name=name, group_ids=["system-users"], local_only=False)["user"]
        self.call("config/auth_provider/homeassistant/create", user_id=user["id"], username=name, password=PASSWORD)
        login = {"client_id": self.url, "handler": ["homeassistant", None], "redirect_uri": self.url + "/"}
        flow = self.post("/auth/login_flow", login)["flow_id"]
        entered = {"client_id": self.url, "username": name, "password": PASSWORD}
        code = self.post(f"/auth/login_flow/{flow}", entered)["result"]
        return self.long_lived_token(name, of=self._tokens(code)["access_token"])

    def revoke(self, name: str, token: str) -> None:
        """Deletes a long-lived token, as its user."""
        for known in self.call("auth/refresh_tokens", token=token):
            if known["client_name"] == name:
                # The connection that asks ends with its token.
                try:
                    self.call("auth/delete_refresh_token", refresh_token_id=known["id"], token=token)
                except ConnectionError:
                    pass

    def add_wyoming(self, host: str, port: int) -> None:
        """Adds a server by the form that people fill in."""
        flow = self.post("/api/config/config_entries/flow", {"handler": "wyoming"})
        added = self.post(f"/api/config/config_entries/flow/{flow['flow_id']}", {"host": host, "port": port})
        assert added["type"] == "create_entry", added

    def state(self, entity: str) -> str:
        return self.get(f"/api/states/{entity}")["state"]

    def turn(self, entity: str, to: str) -> None:
        """Turns a light `on` or `off`."""
        self.post(f"/api/services/light/turn_{to}", {"entity_id": entity})
        wait_for(f"{entity} is {to}", 10, lambda: self.state(entity) == to)

    def call(self, kind: str, token: str | None = None, **arguments: Any) -> Any:
        """Gives one command to the websocket."""
        return asyncio.run(self._call(kind, token, arguments))

    async def _call(self, kind: str, token: str | None, arguments: dict[str, Any]) -> Any:
        async with aiohttp.ClientSession() as session, self._socket(session) as socket:
            await authenticate(socket, token or self.token)
            return await command(socket, 1, kind, arguments)

    def _socket(self, session: aiohttp.ClientSession) -> Any:
        return session.ws_connect(self.url + "/api/websocket", max_msg_size=0)

    def run_pipeline(self, pipeline: str, pcm: bytes, *, half_way: Any = None) -> dict[str, Any]:
        """Speaks to an assistant in real time. Returns the data of each event by its type; `half_way` is called when
        half of the audio is sent."""
        return asyncio.run(self._run_pipeline(pipeline, pcm, half_way))

    async def _run_pipeline(self, pipeline: str, pcm: bytes, half_way: Any) -> dict[str, Any]:
        arguments = {
            "start_stage": "stt",
            "end_stage": "intent",
            "input": {"sample_rate": 16000},
            "pipeline": pipeline,
            "timeout": PIPELINE_SECONDS,
        }
        events: dict[str, Any] = {}
        async with aiohttp.ClientSession() as session, self._socket(session) as socket:
            await authenticate(socket, self.token)
            await command(socket, 1, "assist_pipeline/run", arguments)
            sending = None
            async with asyncio.timeout(2 * PIPELINE_SECONDS):
                while "run-end" not in events:
                    event = (await socket.receive_json())["event"]
                    events[event["type"]] = event["data"]
                    if event["type"] == "run-start":
                        handler = event["data"]["runner_data"]["stt_binary_handler_id"]
                        sending = asyncio.create_task(send(socket, handler, pcm, half_way))
            if sending:
                sending.cancel()
        return events


async def authenticate(socket: aiohttp.ClientWebSocketResponse, token: str) -> None:
    assert (await socket.receive_json())["type"] == "auth_required"
    await socket.send_json({"type": "auth", "access_token": token})
    answer = await socket.receive_json()
    if answer["type"] != "auth_ok":
        raise Refused(answer["type"])


async def command(
    socket: aiohttp.ClientWebSocketResponse, number: int, kind: str, arguments: dict[str, Any]
) -> Any:
    await socket.send_json({"id": number, "type": kind, **arguments})
    while True:
        message = await socket.receive()
        if message.type != aiohttp.WSMsgType.TEXT:
            raise ConnectionError(message.type)
        answer = message.json()
        if answer["type"] == "result":
            if not answer["success"]:
                raise Refused(answer["error"]["code"])
            return answer["result"]


async def send(socket: aiohttp.ClientWebSocketResponse, handler: int, pcm: bytes, half_way: Any) -> None:
    """In steps of 20 ms, as a microphone has it."""
    step = 640
    middle = len(pcm) // 2
    for start in range(0, len(pcm), step):
        if half_way and start <= middle < start + step:
            half_way()
        await socket.send_bytes(bytes([handler]) + pcm[start : start + step])
        await asyncio.sleep(0.02)
    await socket.send_bytes(bytes([handler]))
