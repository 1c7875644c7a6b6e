"""A client of the HTTP API, as OpenAI's speaks."""

import urllib3

from node.talk import Clip

PATIENCE = 60.0


def transcribe(address: str, port: int, clip: Clip, key: str | None) -> tuple[int, str]:
    """Status and text of the answer to an upload of a clip."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    fields = {
        "file": (clip.path.name, clip.path.read_bytes(), "audio/wav"),
        "model": "whisper-1",
        "response_format": "text",
    }
    url = f"http://{address}:{port}/v1/audio/transcriptions"
    answer = urllib3.request("POST", url, fields=fields, headers=headers, timeout=PATIENCE, retries=False)
    return answer.status, answer.data.decode().strip()
