"""Words of a microphone, by mouse and by keyboard, and what is said where there is none."""

import re
import time

import pytest
from playwright.sync_api import expect

from conftest import MICROPHONE, opened

FIRST = "Turn on all the office lights."


def watch(page):
    """Counts requests for transcripts; the most at once, and how many there were."""
    seen = {"now": 0, "most": 0, "all": 0}

    def change(by):
        def note(request):
            if request.method == "POST":
                seen["now"] += by
                seen["all"] += max(0, by)
                seen["most"] = max(seen["most"], seen["now"])

        return note

    page.on("request", change(1))
    page.on("requestfinished", change(-1))
    page.on("requestfailed", change(-1))
    return seen


def test_words_appear_at_a_pause_and_stay_at_the_end(page, words):
    seen = watch(page)
    page.click("#speak")
    expect(page.locator("#progress")).to_have_text("Listening")
    began = time.monotonic()
    expect(page.locator("#speak-label")).to_have_text("Stop")
    expect(page.locator("#level")).to_have_attribute("aria-valuenow", re.compile("^[3-9][0-9]$"))
    draft = page.locator("#draft")
    expect(draft).to_have_text(FIRST)
    print(f"\nfirst words {time.monotonic() - began:.2f} s after recording began (speech: 0.5 to 2.3 s)")
    assert page.locator("#words").text_content() == ""
    expect(draft).to_have_text(words)
    page.click("#speak")
    expect(page.locator("#words")).to_have_text(words)
    expect(draft).to_have_text("")
    expect(page.locator("#facts")).to_contain_text("English · ")
    expect(page.locator("#timings-list")).to_contain_text(re.compile("Queue.*Encode.*Decode", re.S))
    expect(page.locator("#history-list li p")).to_have_text([words])
    expect(page.locator("#speak-label")).to_have_text("Speak")
    assert seen["most"] == 1 and seen["all"] >= 3, seen


def test_a_recording_that_is_discarded_leaves_nothing(page):
    page.click("#speak")
    expect(page.locator("#progress")).to_have_text("Listening")
    page.click("text=Discard")
    expect(page.locator("#progress")).to_have_text("Discarded")
    expect(page.locator("#nothing")).to_be_visible()
    expect(page.locator("#history-list li")).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0


def tab_to(page, selector):
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_everything_works_by_keyboard(browser, address, words):
    with opened(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        tab_to(page, "#theme")
        page.keyboard.press("Enter")
        expect(page.locator("#theme")).to_have_text("Theme: light")
        tab_to(page, "#speak")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(page.locator("#draft")).to_have_text(words)
        page.keyboard.press("Space")
        expect(page.locator("#words")).to_have_text(words)
        tab_to(page, "#copy")
        page.keyboard.press("Enter")
        expect(page.locator("#saved")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == words
        tab_to(page, "#copy-port")
        page.keyboard.press("Enter")
        expect(page.locator("#announce")).to_have_text("Copied")
        # Nothing holds the focus: it reaches the last link, and begins anew.
        tab_to(page, "footer a")
        tab_to(page, "#history-clear")
        page.keyboard.press("Enter")
        expect(page.locator("#history-list li")).to_have_count(0)
        assert page.evaluate("document.activeElement.id") == "history-title"


def test_history_is_kept_by_the_browser_until_it_is_cleared(page, words):
    page.click("#speak")
    expect(page.locator("#draft")).to_have_text(FIRST)
    page.click("#speak")
    expect(page.locator("#history-list li")).to_have_count(1)
    page.reload()
    expect(page.locator("#history-list li")).to_have_count(1)
    kept = page.evaluate("JSON.parse(localStorage.getItem('wyoming-stt.history'))")
    assert sorted(kept[0]) == ["language", "text", "when"] and kept[0]["text"] in words
    page.click("text=Clear history")
    expect(page.locator("#history-list li")).to_have_count(0)
    assert page.evaluate("localStorage.length") == 0
    # What another program left there is no history.
    page.evaluate("localStorage.setItem('wyoming-stt.history', '{\"when\": 1}')")
    page.reload()
    expect(page.locator("#status")).to_have_text("Ready")
    expect(page.locator("#history-list li")).to_have_count(0)


@pytest.mark.parametrize(
    "flags, host, said",
    [
        (MICROPHONE[:1], "127.0.0.1", "was not allowed to use the microphone"),
        (MICROPHONE[1:], "127.0.0.1", "No microphone was found"),
        ([*MICROPHONE, "--host-resolver-rules=MAP speech.example 127.0.0.1"], "speech.example", "only to pages from https://"),
    ],
    ids=["denied", "none", "insecure"],
)
def test_a_browser_without_a_microphone_says_why(chromium, address, flags, host, said):
    with chromium(*flags) as browser, opened(browser, address.replace("127.0.0.1", host)) as page:
        expect(page.locator("#assistant-host")).to_have_text(host)
        page.click("#speak")
        expect(page.locator("#problem-text")).to_contain_text(said)
        expect(page.locator("#speak-label")).to_have_text("Speak")
        expect(page.locator("#again")).to_be_hidden()
