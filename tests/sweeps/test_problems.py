"""Experiments without an environment are planned, swept, stored, resumed, loaded and reported."""

import re
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.problems import CurveConfig, CurveHypers, cubic
from tests.shared import command

STEPS, SEEDS = 60, 3
RATES = pjs.search.grid(CurveHypers(), learning_rate=[0.01, 0.1])
SWEEP = partial(
    pjs.sweep, cubic, hypers=RATES, seeds=SEEDS, steps=STEPS, segments=4, progress=False
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return SWEEP(out=tmp_path_factory.mktemp("runs") / "whole")


def test_members_are_those_of_the_train_alone(whole):
    """The sweep adds nothing: seed 1 with the second rate, update by update."""
    import jax
    import jax.numpy as jnp

    made = cubic()
    hypers = CurveHypers(jnp.float32(0.1), jnp.float32(1e-3))
    key = jax.random.key(1)
    run = jax.jit(made.train.init)(key, hypers, made.data)
    update, losses = jax.jit(made.train.update), []
    for i in range(STEPS):
        run, row = update(key, hypers, made.data, run, Clock(jnp.int32(i), jnp.int32(STEPS)))
        losses.append(row["loss"])
    found = whole.curves["loss"].sel(learning_rate=0.1, seed=1)
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    kept = whole.member({"learning_rate": 0.1}, seed=1).learner.params["coefficients"]
    np.testing.assert_allclose(kept, run.learner.params["coefficients"], rtol=1e-4, atol=1e-6)


def test_curves_say_what_they_are(whole):
    curves = whole.curves
    assert curves.attrs["agent"] == "cubic" and curves.attrs["environment"] == ""
    assert curves["loss"].dims == ("learning_rate", "seed", "step")
    assert curves["step"].attrs["long_name"] == "updates"
    assert whole.parameters.sum() == 4


def test_resumed_is_uninterrupted(whole, tmp_path):
    class Enough(Exception):
        pass

    def stop(progress):
        if progress.update >= STEPS // 2:
            raise Enough

    with pytest.raises(Enough):
        SWEEP(out=tmp_path / "run", on_segment=stop)
    unfinished = pjs.load(tmp_path / "run", announce=lambda text: None)
    assert unfinished.curves["loss"].sizes["step"] < STEPS
    again = SWEEP(resume=tmp_path / "run")
    for name in whole.curves.data_vars:
        if name != "steps_per_second":
            np.testing.assert_array_equal(again.curves[name], whole.curves[name])


def test_a_folder_of_another_problem_is_refused(whole, tmp_path):
    folder = whole.chunks[0][0].path.parents[1]
    with pytest.raises(ValueError, match="batch is 100 there, 50 here"):
        SWEEP(config=CurveConfig(50), resume=folder)


def test_a_config_is_a_group_of_its_own():
    configs = [CurveConfig(10), CurveConfig(20)]
    found = pjs.sweep(cubic, config=configs, seeds=2, steps=4, progress=False)
    assert len(found.layout.groups) == 2
    assert found.curves["loss"].dims == ("config", "seed", "step")


def test_a_run_is_one_setting():
    made = pjs.run(cubic(), seeds=2, steps=4, progress=False)
    assert made.curves["loss"].dims == ("seed", "step")
    with pytest.raises(ValueError, match="hypers: expected one setting"):
        pjs.run(cubic, hypers=RATES, seeds=2, steps=4)


def test_a_plan_counts_parameters_and_data():
    assert "4 parameters (coefficients 4)" in str(pjs.plan(cubic, seeds=2, steps=4))


def test_nobody_acts(whole):
    for ask in (
        lambda: whole.policy({"learning_rate": 0.1}),
        whole.evaluate,
        lambda: whole.env,
        lambda: whole.agent,
    ):
        with pytest.raises(ValueError, match="cubic has no environment"):
            ask()


def test_the_lowest_loss_is_the_best(whole):
    ranking = pjs.report.best(whole.curves)
    means = whole.curves["loss"].values[..., -3:].mean(axis=-1)
    lowest = [0.01, 0.1][int(np.argmin(np.sort(means)[:, 1]))]
    assert ranking.scores[0].settings["learning_rate"] == lowest
    assert ranking.scores[0].value <= ranking.scores[1].value


def test_reports(whole, tmp_path):
    curves = whole.curves
    figure = pjs.report.learning_curves(curves)
    assert figure.axes[0].get_xlabel() == "updates"
    assert "loss" in figure.axes[0].get_ylabel()
    pjs.report.sensitivity(curves, path=tmp_path / "one.png")
    pjs.report.page(curves, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "against updates" in page and "learning_rate" in page
    text = "".join(
        str(cell) for column in pjs.report.table(curves).columns for cell in column.cells
    )
    assert "cubic" in text or "learning_rate" in text
    assert "Result: cubic\n" in repr(whole) and f"{STEPS} updates each" in repr(whole)


def test_commands(tmp_path, capsys):
    out = tmp_path / "run"
    how = f"--seeds 2 --steps 20 --config.batch 10 --out {out}"
    assert command(f"train cubic {how} --hypers.learning-rate 0.1") == 0
    assert command(f"report {out}") == 0
    assert (out / "figures" / "learning_curve.png").exists() and (out / "report.html").exists()
    assert "loss" in capsys.readouterr().out
    assert command("train cubic --env CartPole-v1") == 2


@pytest.mark.slow
def test_other_commands(tmp_path, capsys):
    out = tmp_path / "run"
    how = f"--seeds 2 --steps 20 --config.batch 10 --out {out}"
    assert command(f"train cubic {how}") == 0
    assert command(f"resume {out}") == 0
    assert command(f"export {out} --to csv") == 0
    assert pjs.load(out).curves["loss"].shape == (2, 20)
    swept = tmp_path / "sweep"
    assert (
        command(f"sweep cubic {how.replace(str(out), str(swept))} --grid learning_rate=0.1,1") == 0
    )
    assert command("plan cubic --seeds 2 --steps 20 --grid learning_rate=0.1,1") == 0
    assert command("show cubic") == 0
    told = capsys.readouterr()
    assert "learning_rate" in told.out and "finished" in told.err
    assert (
        command(f"train tests.sweeps.test_problems:own --seeds 2 --steps 2 --out {tmp_path}/o") == 0
    )


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_to_the_same_bits(tmp_path):
    how = "--seeds 4 --steps 30000 --segments 60 --out"
    assert command(f"train lissajous {how} {tmp_path / 'whole'}") == 0
    words = f"train lissajous {how} {tmp_path / 'killed'}".split()
    script = f"from purejaxrl_suite import cli; cli.main({words!r})"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(
        tmp_path.glob("killed/group-*/chunk-*/checkpoints/[0-9]*")
    ):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert command(f"resume {tmp_path / 'killed'}") == 0
    whole, killed = (pjs.load(tmp_path / name) for name in ("whole", "killed"))
    for name in whole.curves.data_vars:
        if name != "steps_per_second":
            np.testing.assert_array_equal(killed.curves[name], whole.curves[name])


def own(config: CurveConfig | None = None, hypers: CurveHypers | None = None):
    """A problem of one's own."""
    return cubic(config, hypers)


MISTAKES = {
    "env: expected an Environment": lambda: pjs.run(pjs.ppo(pjs.make("Catch-bsuite")), seeds=1),
    "metrics: expected none": lambda: pjs.run(cubic(), seeds=1, steps=1, metrics=[print]),
    "network: expected none": lambda: pjs.run(cubic(), seeds=1, steps=1, network=print),
    "measure_every: expected the default": lambda: pjs.run(
        cubic(), seeds=1, steps=1, measure_every=3
    ),
    "steps: .*1 .. ": lambda: pjs.run(cubic(), seeds=1, steps=0),
    "config: expected None, as cubic is made": lambda: pjs.run(
        cubic(), seeds=1, steps=1, config=CurveConfig()
    ),
    "builder: expected a function": lambda: pjs.run(lambda a, b, c: 0, seeds=1, steps=1),
    "builder: expected an? Problem": lambda: pjs.run(lambda config, hypers: 0, seeds=1, steps=1),
    "hypers.learning_rate: expected a number of at least 0": lambda: pjs.run(
        cubic(None, CurveHypers(-1.0)), seeds=1, steps=1
    ),
    "metric of cubic: expected one of derivative_1": lambda: pjs.run(
        cubic()._replace(metric="kl"), seeds=1, steps=1
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()


def test_without_its_functions_a_folder_says_what_is_missing(tmp_path):
    named = cubic()._replace(name="of-ones-own")
    pjs.run(named, seeds=1, steps=2, out=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match=re.escape("pass builder=, a Problem or a function")):
        pjs.load(tmp_path / "run")
    assert pjs.load(tmp_path / "run", builder=named).curves["loss"].shape == (1, 2)
