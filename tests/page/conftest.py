"""Browsers and servers of these tests."""

import contextlib
import os

import pytest
from playwright.sync_api import expect, sync_playwright

from served import served
from sounds import spoken

expect.set_options(timeout=20_000)

# The tests may run as root, and open pages of this machine only.
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
# A microphone, without a question to the user.
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="session")
def chromium():
    """Starts it with these flags."""
    with sync_playwright() as playwright:

        @contextlib.contextmanager
        def launch(*flags):
            browser = playwright.chromium.launch(executable_path=os.environ["browser"], args=[*FLAGS, *flags])
            try:
                yield browser
            finally:
                browser.close()

        yield launch


@pytest.fixture(scope="session")
def address():
    """Where a server without keys serves the page."""
    with served() as found:
        yield found


@pytest.fixture(scope="session")
def words():
    """What the microphone of `browser` hears."""
    return spoken("office_lights", "close_windows")[1]


@pytest.fixture(scope="session")
def browser(chromium, tmp_path_factory):
    """A browser whose microphone plays two orders with a pause between them, once for each recording."""
    file = tmp_path_factory.mktemp("microphone") / "orders.wav"
    file.write_bytes(spoken("office_lights", "close_windows", after=60)[0])
    with chromium(*MICROPHONE, f"--use-file-for-fake-audio-capture={file}%noloop") as found:
        yield found


@pytest.fixture
def page(browser, address):
    """The page, once it has heard of the server. What a script logs or throws fails the test."""
    with opened(browser, address) as found:
        yield found


@contextlib.contextmanager
def opened(browser, address, **context):
    context = browser.new_context(**context)
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" and "Failed to load resource" not in line.text else None)
    page.goto(f"http://{address}/")
    expect(page.locator("#status")).not_to_have_text("Connecting")
    try:
        yield page
        assert faults == []
    finally:
        context.close()
