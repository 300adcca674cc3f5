"""Measures the page in a real browser: `python tests/browser/figures.py`. Prints one JSON object.

Nothing else should run beside it. It is no test, because a busy machine would make it fail.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HOME), str(HOME / "tests" / "browser")]

import psutil  # noqa: E402
from conftest import CHROMIUM, FLAGS, Server  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from helpers import media  # noqa: E402
from helpers.archipelago import voices  # noqa: E402
from helpers.archipelago.islanders import islander  # noqa: E402

VISITORS = 10
REQUESTS = int(os.environ.get("DEMO_REQUESTS", "500"))
_CLEAR = "document.querySelector('#answer').querySelectorAll('.sure').forEach(e => e.remove())"
_SHOWN = "() => document.querySelector('#answer .sure')"


def main() -> None:
    """Measures and prints."""
    folder = Path(tempfile.mkdtemp(prefix="demo-figures-"))
    file = folder / "voice.wav"
    media.write_wav(file, voices.speak(islander(1_000_001), 0))
    server = Server(folder)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            found = {"ready_seconds": round(server.ready_seconds, 1)}
            pages = [_visit(browser, server.url) for _ in range(VISITORS)]
            _upload(pages[0], file)
            found["voice_to_face_seconds"] = _median([_upload(pages[0], file) for _ in range(7)])
            found["slider_to_face_seconds"] = _median([_slide(pages[0]) for _ in range(7)])
            found["ten_at_once_seconds"] = _together(pages)
            found["memory_mb"] = _memory(server, file)
            browser.close()
        print(json.dumps(found, indent=1))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _visit(browser, url: str) -> Page:
    page = browser.new_context().new_page()
    page.set_default_timeout(120_000)
    page.goto(url)
    page.get_by_role("button", name="Young woman").wait_for()
    return page


def _upload(page: Page, file: Path) -> float:
    page.get_by_role("tab", name="Your voice").click()
    page.evaluate(_CLEAR)
    started = time.perf_counter()
    page.locator("#upload input[type=file]").set_input_files(file)
    page.wait_for_function(_SHOWN, polling=20)
    return time.perf_counter() - started


def _slide(page: Page) -> float:
    page.get_by_role("tab", name="Voice workshop").click()
    face = page.locator("#workshop-face img")
    before = face.get_attribute("src")
    page.locator("#slider-pitch input[type=range]").focus()
    started = time.perf_counter()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('#workshop-face img').src !== before",
        arg=before,
        polling=20,
    )
    return time.perf_counter() - started


def _together(pages: list[Page]) -> list[float]:
    """All ask at once; seconds until each has its face, as its own page measures them."""
    for page in pages:
        page.get_by_role("tab", name="Your voice").click()
        page.evaluate(_CLEAR)
    soon = int((time.time() + 5) * 1000)
    for page in pages:
        page.evaluate(
            """soon => {
              window.asked = 0; window.seconds = 0;
              const button = [...document.querySelectorAll('button')]
                .find(each => each.innerText.trim() === 'Older man');
              setTimeout(() => {
                window.asked = performance.now(); button.click();
                const look = setInterval(() => {
                  if (!document.querySelector('#answer .sure')) return;
                  window.seconds = (performance.now() - window.asked) / 1000;
                  clearInterval(look);
                }, 20);
              }, Math.max(0, soon - Date.now()));
            }""",
            soon,
        )
    return sorted(
        round(page.wait_for_function("() => window.seconds", polling=50).json_value(), 2)
        for page in pages
    )


def _memory(server: Server, file: Path) -> dict[str, float]:
    """Memory of the server after some requests: they come from a client without a browser."""
    from gradio_client import Client, handle_file

    process = psutil.Process(server.process.pid)
    client = Client(server.url, verbose=False)
    name = next(
        number
        for number, each in enumerate(client.config["dependencies"])
        if any(event == "upload" for _, event in each["targets"])
    )
    found = {}
    for request in range(1, REQUESTS + 1):
        client.predict(handle_file(str(file)), fn_index=name)
        if request in (1, REQUESTS // 10, REQUESTS // 2, REQUESTS):
            found[str(request)] = round(process.memory_info().rss / 2**20)
    return found


def _median(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 2)


if __name__ == "__main__":
    main()
