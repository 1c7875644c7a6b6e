"""Takes the pictures of the page: by day, by night, on a phone. usage: pictures.py FOLDER"""

import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from conftest import FLAGS, MICROPHONE
from served import served
from sounds import spoken

SPOKEN = ("office_lights", "close_windows")
# Enough for gradients of one accent.
COLOURS = 64


def shrunk(picture, path):
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1_000:.0f} KB")


def speak(page, words, is_over):
    page.click("#speak")
    expect(page.locator("#draft")).to_have_text(words)
    if is_over:
        page.click("#speak")
        expect(page.locator("#words")).to_have_text(words)
        # The panel says what the server is doing once it has been asked again.
        page.wait_for_timeout(2_500)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")


def take(browser, address, path, words, is_over=True, **context):
    context = browser.new_context(**context)
    page = context.new_page()
    page.goto(f"http://{address}/")
    expect(page.locator("#status")).to_have_text("Ready")
    speak(page, words, is_over)
    shrunk(page.screenshot(full_page=is_over), path)
    context.close()


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    # The addresses that a home sees, whatever machine this is.
    resolve = "--host-resolver-rules=MAP speech.local 127.0.0.1"
    with tempfile.NamedTemporaryFile(suffix=".wav") as file, sync_playwright() as playwright:
        sound, words = spoken(*SPOKEN, after=60)
        file.write(sound)
        file.flush()
        names = Path(file.name).with_suffix(".txt")
        names.write_text("\n".join(f"Room {number}" for number in range(42)))
        with served("--names", str(names), uri="tcp://0.0.0.0:10300") as address:
            address = address.replace("127.0.0.1", "speech.local")
            trusted = f"--unsafely-treat-insecure-origin-as-secure=http://{address}"
            browser = playwright.chromium.launch(
                executable_path=os.environ["browser"],
                args=[*FLAGS, *MICROPHONE, resolve, trusted, f"--use-file-for-fake-audio-capture={file.name}%noloop", "--hide-scrollbars"],
            )
            wide = {"viewport": {"width": 1200, "height": 900}}
            phone = {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 2}
            take(browser, address, folder / "page-light.png", words, color_scheme="light", **wide)
            take(browser, address, folder / "page-dark.png", words, color_scheme="dark", **wide)
            take(browser, address, folder / "page-phone.png", words, is_over=False, color_scheme="light", **phone)
            browser.close()
        names.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
