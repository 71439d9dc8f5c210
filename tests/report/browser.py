"""Pages as people see them: a headless Chromium without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP, PHONE = (1280, 900), (390, 844)


def executable() -> str:
    """Where a Chromium is; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium on this machine ({', '.join(NAMES)})")
    return found


@contextmanager
def opened(browser: Any, path: Path, size: tuple[int, int]) -> Iterator[Any]:
    """A page from disk; fails if it says anything on the console or asks for anything else."""
    said, asked = [], []
    screen: Any = {"viewport": {"width": size[0], "height": size[1]}, "offline": True}
    finger = size == PHONE
    context = browser.new_context(**screen, has_touch=finger, is_mobile=finger)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    own = path.resolve().as_uri()
    page.goto(own)
    page.wait_for_load_state("load")
    yield page
    others = [url for url in asked if not url.startswith("data:") and url != own]
    assert not said and not others, (said, others)
    context.close()


def check_readable(page: Any) -> None:
    """Nothing is wider than the screen, and no text is too small to read."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.evaluate(
        """[...document.querySelectorAll('main *')].filter(e => e.childElementCount == 0 &&
        e.textContent.trim()).map(e => parseFloat(getComputedStyle(e).fontSize))"""
    )
    assert min(sizes) >= 9
