"""The page of a run or a sweep: what is on it, and whether a browser can show it."""

import re

import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import report
from purejaxrl_suite.report.html import identifier
from tests.counted import counted
from tests.report.browser import DESKTOP, PHONE, check_readable, opened

FIRST = identifier("episode_return-0")
AXES = {"learning_rate": [1e-4, 1e-3, 1e-2], "gamma": [0.9, 0.99]}
RECORD = {
    "command": ["purejaxrl-suite", "sweep", "ppo", "--env", "Corridor"],
    "plan": "24 members = 1 groups (one program each) x 6 configurations x 4 seeds",
    "config": {"num_envs": 8},
    "written": "2026-11-21T12:00:00+00:00",
}


def sweep():
    """A sweep of 6 configurations and 4 seeds, the last of which diverged at gamma 0.9."""
    rise = 1.0 - np.exp(-np.arange(1, 201) / 40.0)
    level = np.array([[3.0, 10.0, 20.0], [4.0, 40.0, 25.0]]).T[..., None, None]
    values = (level * rise + np.arange(4)[:, None] - 1.5).astype(np.float32)
    values[..., 0] = np.nan
    lost = np.zeros((3, 2, 4), bool)
    lost[2, 0, 3] = True
    dims = (*AXES, "seed", "step")
    return counted(xr.Dataset(
        {
            "episode_return": (dims, values, {"long_name": "episode return", "units": "reward"}),
            "entropy": (dims, -values, {"long_name": "entropy", "units": "nats"}),
            "never": (dims, np.full_like(values, np.nan), {"long_name": "never"}),
            "diverged": (dims[:-1], lost),
        },
        coords={**AXES, "seed": np.arange(4), "step": 10 * np.arange(1, 201)},
        attrs={
            "agent": "ppo",
            "environment": "Corridor",
            "hypers": '{"learning_rate": 0.0003, "gae_lambda": 0.95}',
            "wall_seconds": 12.5,
            "compile_seconds": 3.25,
            "steps_per_second": 1.5e6,
            "device": "1 x cpu",
            "versions": '{"jax": "0.11.2"}',
        },
    ))  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "report.html"
    report.page(sweep(), path, title="runs/<x>", records={"": RECORD}, note="not finished")
    return path


def test_a_page_says_what_was_run_and_found(path):
    page, value = path.read_text(), report.best(sweep()).scores[0].value
    body = page[page.index("<body>") :]
    for text in (
        "runs/&lt;x&gt;", "not finished", "6 configurations x 4 seeds", "12.5 s", "1.5 M steps/s",
        "24 members = 1 groups", "purejaxrl-suite sweep ppo --env Corridor", "older than",
        f"<td>{value:.3g}</td>", "1/4", "4 diverged)", "entropy [nats]",
        "Ring: the best configuration",
    ):  # fmt: skip
        assert text in body, text
    assert "never" not in body, "nothing was measured of it"
    assert "finished once" not in body, "figures wait for it"
    assert "http" not in body and "src=" not in page[: page.index("<script>")]


def test_a_page_of_several_runs(tmp_path):
    one = sweep().isel(learning_rate=1, gamma=1, drop=True)
    runs = {"a": one, "b": one.isel(seed=[0]), "c": one.assign_attrs(environment="Maze")}
    report.page(runs, tmp_path / "report.html")
    body = (tmp_path / "report.html").read_text().split("<body>")[1]
    assert "<h1>ppo</h1>" in body and body.count("<dt>agent</dt>") == 3
    assert "Sensitivity" not in body and "Maze" in body
    with pytest.raises(ValueError, match="metric: 'reward'"):
        report.page(one, tmp_path / "other.html", metric="reward")


def test_measurements_of_layers_are_maps_and_no_diagnostics(tmp_path):
    one = sweep()
    for name in ("dormant_0.1", "dormant_0.1.trunk.dense_0", "dormant_0.1.trunk.dense_1"):
        one[name] = (one["entropy"].dims, np.full(one["entropy"].shape, 0.5, np.float32))
    path = tmp_path / "layers.html"
    report.page(one, path)
    page = path.read_text()
    body = page[page.index("<body>") :]
    layers, diagnostics = body.split("<h2>Layers</h2>")[1].split("<h2>Diagnostics</h2>")
    assert layers.count('"type":"heatmap"') == 1 and "trunk.dense_1" in layers
    assert "dormant 0.1" in diagnostics and "trunk.dense_1" not in diagnostics


def test_a_browser_draws_it_and_shows_numbers(path, chromium):
    with opened(chromium, path, DESKTOP) as page:
        drawn = page.locator(".js-plotly-plot")
        assert drawn.count() == 5, "curves, two settings, entropy and episodes"
        for number in range(5):
            line = drawn.nth(number).locator(".scatterlayer .trace path.js-line").first
            assert line.bounding_box()["width"] > 100
        check_readable(page)
        said = hover(page, f"#{FIRST}")
        assert "learning_rate=0.01" in said and re.search(r"steps17.\d+ \[15", said), said


def test_a_phone_shows_it(path, chromium):
    with opened(chromium, path, PHONE) as page:
        check_readable(page)
        boxes = [one.bounding_box() for one in page.locator(".js-plotly-plot").all()]
        assert len(boxes) == 5 and all(300 < box["width"] <= 390 for box in boxes)
        area = page.locator(f"#{FIRST} .nsewdrag").first.bounding_box()
        page.touchscreen.tap(area["x"] + 150, area["y"] + 100)
        assert "learning_rate=" in label(page, f"#{FIRST}")


def hover(page, name):
    """What is said where the pointer is over the middle of a figure."""
    area = page.locator(f"{name} .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    return label(page, name)


def label(page, name):
    page.locator(f"{name} .hoverlayer text").first.wait_for(timeout=5000)
    return page.locator(f"{name} .hoverlayer").text_content()
