"""Words are said when openai-whisper says that they are, on the same weights."""

import difflib
import json
import os
import statistics
import subprocess
import urllib.request
import uuid

import pytest
import recordings

# Of all matched words, starts and ends.
MEDIAN_S = 0.02
SHARE_WITHIN_100_MS = 0.95


@pytest.fixture(scope="module", params=["f32", "int8"])
def url(request, weights):
    """A server with tiny.en; the address of its API."""
    command = [os.environ["binary"], "serve", "--uri", "tcp://127.0.0.1:0", "--admin", "off", "--http", "127.0.0.1:0"]
    command += ["--model", weights["tiny.en"], "--keep-packed", "false", "--precision", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next((line for line in process.stdout if line.startswith("ready: ")), None)
            assert line, "the server ended before it was ready"
            yield "http://" + line.split("http http://")[1].split(",")[0]
        finally:
            process.terminate()


def ask(url, path, **fields):
    """Posts a file as a form; the JSON that comes back."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'
    body = "".join(parts).encode() + head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/audio/transcriptions", body, kind), timeout=120) as answer:
        return json.load(answer)


def differences(ours, theirs):
    """Of starts and ends of the words that both have, in seconds."""
    matcher = difflib.SequenceMatcher(a=[word[0] for word in ours], b=[word[0] for word in theirs], autojunk=False)
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            (_, *our_times), (_, *their_times) = ours[block.a + offset], theirs[block.b + offset]
            yield from (abs(our_time - their_time) for our_time, their_time in zip(our_times, their_times))


def test_words_have_the_times_of_openai_whisper(url, sounds, golden):
    found, number = [], 0
    for name, theirs in golden["tiny.en"]["timed"].items():
        answer = ask(url, sounds[name], response_format="verbose_json", **{"timestamp_granularities[]": "word"})
        ours = [[word["word"], word["start"], word["end"]] for word in answer["words"]]
        # Parts of words with hyphens are words by themselves, as there.
        assert "".join(word for word, _, _ in ours) == answer["text"].replace(" ", ""), name
        assert all(start <= end <= answer["duration"] + 0.02 for _, start, end in ours), (name, ours)
        number += len(theirs)
        found += differences(ours, theirs)
    near = sum(difference <= 0.1 for difference in found) / len(found)
    print(f"{len(found) // 2} of {number} words: median {statistics.median(found):.3f} s, {near:.1%} within 0.1 s, at most {max(found):.2f} s")
    assert len(found) >= 1.8 * number, found
    assert statistics.median(found) <= MEDIAN_S
    assert near >= SHARE_WITHIN_100_MS


def test_long_audio_has_words_in_order_through_all_of_its_windows(url, sounds):
    name = "long/1.5s"
    answer = ask(url, sounds[name], response_format="verbose_json", **{"timestamp_granularities[]": "word"})
    words = answer["words"]
    assert words[0]["start"] < 2 and words[-1]["end"] > answer["duration"] - 2
    starts = [word["start"] for word in words]
    assert all(earlier <= later + 0.5 for earlier, later in zip(starts, starts[1:])), starts
    assert len(words) > 100
