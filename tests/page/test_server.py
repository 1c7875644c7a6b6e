"""What the page says of the server: keys, full, gone, and what it is doing."""

import socket

import pytest
from playwright.sync_api import expect

from conftest import opened
from served import occupied, proxied, served
from sounds import long
from test_files import SOUND, WORDS, drop

KEY = "sk-of-these-tests"


@pytest.fixture
def locked(tmp_path):
    """Where a server with a key serves the page."""
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    with served("--http-keys", keys) as found:
        yield found


def test_a_key_is_asked_for_and_kept_for_the_tab_only(browser, locked):
    with opened(browser, locked) as page:
        expect(page.locator("#status")).to_have_text("An API key is needed")
        expect(page.locator("#key-form")).to_be_visible()
        drop(page, SOUND.name, SOUND.read_bytes())
        expect(page.locator("#problem-text")).to_contain_text("An API key is needed")
        key = page.locator("#key")
        expect(key).to_be_focused()
        key.fill("sk-of-another-house")
        key.press("Enter")
        expect(page.locator("#problem-text")).to_contain_text("This API key is not known here")
        key.fill("zwei Wörter")
        key.press("Enter")
        expect(page.locator("#key-why")).to_contain_text("without spaces")
        key.fill(KEY)
        key.press("Enter")
        # What was not sent for want of a key is sent now.
        expect(page.locator("#words")).to_have_text(WORDS)
        expect(page.locator("#key-form")).to_be_hidden()
        expect(page.locator("#status")).to_have_text("Ready")
        page.reload()
        expect(page.locator("#status")).to_have_text("Ready")
        kept = page.evaluate("[Object.values(sessionStorage), JSON.stringify(localStorage), document.cookie]")
        assert kept[0] == [KEY] and KEY not in kept[1] and kept[2] == ""
    with opened(browser, locked) as page:
        expect(page.locator("#key-form")).to_be_visible()


def test_a_full_server_is_told_and_speech_goes_on(browser, words):
    # A quarter of an hour, slowly: it lasts longer than the recording.
    slow = ["--precision", "f32", "--window", "exact", "--max-utterance", "1000", "--max-waiting-audio", "2000"]
    with served("--max-batch", "1", "--max-waiting", "1", *slow) as address, opened(browser, address) as page:
        with occupied(address, long(900), 2):
            expect(page.locator("#server-facts")).to_contain_text("1 waiting")
            page.click("#speak")
            expect(page.locator("#problem-text")).to_contain_text("Recording goes on.")
            expect(page.locator("#speak-label")).to_have_text("Stop")
            page.click("#speak")
            expect(page.locator("#problem-text")).to_contain_text("It can be sent again in 5 s.")
        expect(page.locator("#server-facts")).to_contain_text("Idle")
        page.click("text=Send it again")
        expect(page.locator("#words")).to_contain_text(words.split(".")[0])
        expect(page.locator("#problem")).to_be_hidden()


def test_a_server_that_is_gone_is_told_and_found_again(browser):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    with served(http=address):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://{address}/")
        expect(page.locator("#status")).to_have_text("Ready")
    expect(page.locator("#status")).to_have_text("Not reachable")
    drop(page, SOUND.name, SOUND.read_bytes())
    expect(page.locator("#problem-text")).to_have_text("The server cannot be reached.")
    with served(http=address):
        page.click("text=Send it again")
        expect(page.locator("#words")).to_have_text(WORDS)
        expect(page.locator("#status")).to_have_text("Ready")
    context.close()


def test_a_proxy_may_serve_it_under_a_path(browser, address, words):
    with proxied(address, "/of/a/proxy/") as there, opened(browser, there) as page:
        expect(page.locator("#status")).to_have_text("Ready")
        page.click("#speak")
        expect(page.locator("#draft")).to_have_text(words)
        page.click("#speak")
        expect(page.locator("#words")).to_have_text(words)


def test_a_language_is_chosen_of_those_that_are_served(page):
    # The built-in model has one language: the page is told of three, and the server refuses the others.
    def more_languages(route):
        answer = route.fetch()
        state = answer.json()
        state["languages"]["offered"] = ["en", "de", "yue"]
        route.fulfill(response=answer, json=state)

    page.route("**/page/state.json", more_languages)
    page.reload()
    language = page.locator("#language")
    expect(language.locator("option")).to_have_text(["Detect", "Cantonese", "English", "German"])
    drop(page, SOUND.name, SOUND.read_bytes())
    expect(page.locator("#facts")).to_contain_text("English, detected")
    language.select_option("German")
    drop(page, SOUND.name, SOUND.read_bytes())
    expect(page.locator("#problem-text")).to_contain_text("\"de\"")
    language.select_option("English")
    drop(page, SOUND.name, SOUND.read_bytes())
    expect(page.locator("#facts")).to_contain_text("English · ")
    page.unroute_all(behavior="wait")


def test_what_the_server_is_doing_is_shown(browser, tmp_path):
    names = tmp_path / "names"
    names.write_text("Küche\nWLED\n")
    with served("--names", names) as address, opened(browser, address) as page:
        facts = page.locator("#server-facts")
        expect(facts).to_contain_text("demo")
        expect(facts).to_contain_text("cpu, ")
        expect(facts).to_contain_text("Expected names2 from a file")
        assert "WLED" not in page.content()
        expect(page.locator("#language option")).to_have_text(["English"])
        expect(page.locator("#assistant-host")).to_have_text("127.0.0.1")
        expect(page.locator("#assistant-note")).to_contain_text("--uri tcp://0.0.0.0:10300")
        drop(page, SOUND.name, SOUND.read_bytes())
        expect(facts).to_contain_text("1 since the start")
