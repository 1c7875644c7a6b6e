"""Files that are chosen or dropped, and what is saved of their words."""

import base64

import pytest
from playwright.sync_api import expect

from sounds import FIXTURES, long

SOUND = FIXTURES / "office_lights.wav"
WORDS = SOUND.with_suffix(".txt").read_text().strip()

DROP = """([name, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    const event = (kind) => new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer });
    document.body.dispatchEvent(event("dragover"));
    const isShown = getComputedStyle(document.getElementById("drop")).display === "grid";
    const isTaken = !document.body.dispatchEvent(event("drop"));
    return [isShown, isTaken];
}"""


def drop(page, name, content):
    assert page.evaluate(DROP, [name, base64.b64encode(content).decode()]) == [True, True]
    expect(page.locator("#drop")).to_be_hidden()


def choose(page, file):
    with page.expect_file_chooser() as chooser:
        page.focus("#choose")
        page.keyboard.press("Enter")
    chooser.value.set_files(file)


def test_a_file_is_chosen_by_keyboard(page):
    choose(page, SOUND)
    expect(page.locator("#words")).to_have_text(WORDS)
    # The same one again.
    choose(page, SOUND)
    expect(page.locator("#history-list li")).to_have_count(2)


@pytest.mark.parametrize("name", ["curtains_44k_stereo.wav", "heldout/b017.flac"])
def test_a_dropped_file_is_transcribed(page, name):
    file = FIXTURES / name
    drop(page, file.name, file.read_bytes())
    expect(page.locator("#words")).to_have_text(file.with_suffix(".txt").read_text().strip())


def test_words_of_long_sound_come_while_it_is_transcribed(page):
    page.evaluate("""() => {
        window.lengths = [];
        const words = document.getElementById("words");
        new MutationObserver(() => window.lengths.push(words.textContent.length)).observe(words, { childList: true });
    }""")
    drop(page, "long.wav", long(70))
    expect(page.locator("#facts")).to_contain_text("first words after")
    lengths = [length for length in page.evaluate("lengths") if length]
    assert len(lengths) >= 2 and lengths == sorted(lengths), lengths


@pytest.mark.parametrize("kind, begins", [("txt", WORDS), ("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n\n00:00:0")])
def test_words_are_saved(page, kind, begins):
    drop(page, SOUND.name, SOUND.read_bytes())
    expect(page.locator("#words")).to_have_text(WORDS)
    with page.expect_download() as download:
        page.click(f"#save-{kind}")
    assert download.value.suggested_filename == f"transcript.{kind}"
    saved = open(download.value.path(), encoding="utf-8").read()
    assert saved.startswith(begins) and WORDS in saved
    expect(page.locator("#saved")).to_have_text("Saved")


def test_what_is_no_sound_is_refused_by_a_sentence(page):
    drop(page, "notes.txt", b"no sound at all, only words")
    expect(page.locator("#problem-text")).to_contain_text("The file is ")
    expect(page.locator("#again")).to_be_hidden()
    drop(page, SOUND.name, SOUND.read_bytes())
    expect(page.locator("#words")).to_have_text(WORDS)
    expect(page.locator("#problem")).to_be_hidden()


def test_silence_gives_no_words_and_no_history(page):
    silence = SOUND.read_bytes()[:44] + bytes(64_000)
    drop(page, "silence.wav", silence)
    expect(page.locator("#nothing")).to_have_text("No speech was recognised.")
    expect(page.locator("#history-list li")).to_have_count(0)
