"""Both themes, narrow screens, and the rules of accessibility."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import opened
from test_files import SOUND, WORDS, drop

NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(250, 249, 247)", "rgb(20, 19, 18)"


def check(page):
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_no_rule_is_broken_and_nothing_is_too_wide(browser, address, theme, size):
    with opened(browser, address, color_scheme=theme, viewport=size) as page:
        assert page.evaluate(BACKGROUND) == (LIGHT if theme == "light" else DARK)
        check(page)
        # All that may be seen, at once.
        drop(page, SOUND.name, SOUND.read_bytes())
        expect(page.locator("#words")).to_have_text(WORDS)
        page.evaluate("document.getElementById('words').append(' ' + 'W'.repeat(200))")
        page.evaluate("for (const it of document.querySelectorAll('#key-form, #problem, #again')) it.hidden = false")
        page.evaluate("document.getElementById('problem-text').textContent = 'The server is busy.'")
        page.evaluate("document.getElementById('assistant-host').textContent = 'a-very-long-name-of-a-machine.in.its.own.network.example'")
        check(page)
        page.click("#speak")
        expect(page.locator("#speak-label")).to_have_text("Stop")
        check(page)
        page.click("#cancel")


def test_a_theme_that_was_chosen_wins_and_stays(browser, address):
    with opened(browser, address, color_scheme="dark") as page:
        page.click("#theme")
        expect(page.locator("#theme")).to_have_text("Theme: light")
        assert page.evaluate(BACKGROUND) == LIGHT
        page.reload()
        assert page.evaluate(BACKGROUND) == LIGHT
        page.click("#theme")
        assert page.evaluate(BACKGROUND) == DARK
        page.emulate_media(color_scheme="light")
        assert page.evaluate(BACKGROUND) == DARK
        page.click("#theme")
        assert page.evaluate(BACKGROUND) == LIGHT


def test_nothing_comes_from_elsewhere_and_no_policy_is_broken(browser, address):
    asked, context = [], browser.new_context()
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script("window.broken = []; addEventListener('securitypolicyviolation', (event) => broken.push(event.violatedDirective))")
    page.goto(f"http://{address}/")
    page.click("#speak")
    expect(page.locator("#speak-label")).to_have_text("Stop")
    page.click("#speak")
    expect(page.locator("#speak-label")).to_have_text("Speak")
    assert all(url.startswith((f"http://{address}/", "blob:")) for url in asked), asked
    assert len(asked) > 10 and page.evaluate("broken") == []
    # The policy is there: a script in the page's own text does not run.
    page.evaluate("""() => {
        const script = document.createElement("script");
        try { script.textContent = "window.hasRun = true"; } catch {}
        document.body.append(script);
    }""")
    assert page.evaluate("[window.hasRun, broken.length > 0]") == [None, True]
    context.close()


def test_less_motion_is_granted(browser, address):
    with opened(browser, address, reduced_motion="reduce") as page:
        assert page.evaluate("getComputedStyle(document.querySelector('.disc')).transitionDuration") == "0s"
        # The level is a picture that changes four times a second, not one that moves with each block.
        page.evaluate("""() => {
            window.drawn = 0;
            const clear = CanvasRenderingContext2D.prototype.scale;
            CanvasRenderingContext2D.prototype.scale = function (...to) { window.drawn += 1; return clear.apply(this, to); };
        }""")
        page.click("#speak")
        expect(page.locator("#clock")).to_have_text("0:02")
        page.click("#cancel")
        assert 3 < page.evaluate("drawn") < 20, page.evaluate("drawn")
