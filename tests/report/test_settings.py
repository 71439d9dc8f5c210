"""What ran, in the curves, on the page and in every export: of CLI and Python alike."""

import json

import numpy as np
import pandas
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, report
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.envs import wrappers
from purejaxrl_suite.plasticity import metrics
from purejaxrl_suite.report import export, settings
from purejaxrl_suite.report.configurations import configurations
from purejaxrl_suite.sweeps.curves import Gathered, GroupRows, dataset
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
NAMES = "episode_return", "episodes", "finished_once", "diverged"
STEPS = 2 * CONFIG.num_envs * CONFIG.rollout_length


def network(env):
    return nets.actor_critic(env.observation, env.action, hidden=(8,))


def curves_of(env, **changes):
    """Curves of a layout that nobody trained."""
    given = {"config": CONFIG, "network": network, "seeds": [3, 5], "steps": STEPS}
    laid = lay_out(Experiment(ppo, env, **given | changes))
    groups = []
    for group in laid.groups:
        shape = len(group.members.seeds), group.updates
        rows = {name: np.ones(shape, np.float32) for name in NAMES}
        groups.append(GroupRows(rows, np.ones(group.updates)))
    return dataset(laid, Gathered(tuple(groups), 1.0, 1.0), 1.0)


@pytest.fixture(scope="module")
def env():
    return wrappers.scale_reward(pjs.make("CartPole-v1", length=2.0), 0.5)


@pytest.fixture(scope="module")
def swept(env):
    return curves_of(
        env,
        hypers=pjs.search.grid(PPOHypers(clip_range=0.3), gamma=[0.9, 0.99]),
        env_params=pjs.search.grid(env.params, gravity=[9.8, 3.0]),
        config=pjs.search.grid(CONFIG, epochs=[1, 2]),
    )


@pytest.fixture(scope="module")
def plain(env):
    params = env.params.replace(gravity=np.float32(5.0))
    hypers = PPOHypers(clip_range=0.1)
    return curves_of(env, hypers=hypers, env_params=params, metrics=[metrics.weight_norm])


def test_a_run_is_recorded_as_it_ran_not_as_the_agent_would(plain):
    known = settings.record(plain)
    (group,) = known["groups"]
    assert group["hypers"] == {n: float(x) for n, x in PPOHypers(clip_range=0.1)._asdict().items()}
    assert group["config"] == CONFIG._asdict() and known["seeds"] == [3, 5]
    assert group["env_params"]["gravity"] == 5.0 and group["env_params"]["length"] == 2.0
    assert group["recipe"] == ["make('CartPole-v1', length=2.0)", "scale_reward(scale=0.5)"]
    assert group["layers"] == {"trunk/actor/dense_0": 8, "trunk/critic/dense_0": 8}
    assert group["parameter counts"] == {"heads": 8 * 3 + 3, "trunk": 2 * (4 * 8 + 8)}
    assert group["intervention"] == "every(10, record(weight_norm))"
    assert json.loads(plain.attrs["hypers"])["clip_range"] == 0.1


def test_every_configuration_of_a_sweep_has_its_own_settings(swept):
    found = [settings.settings(one) for one in configurations(swept)]
    keys = ("epochs", "env.gravity", "gamma", "clip_range", "num_envs", "env.length")
    assert [[one[key] for key in keys] for one in found] == [
        [epochs, gravity, gamma, 0.3, 4, 2.0]
        for epochs in (1, 2)
        for gravity in (9.8, 3.0)
        for gamma in (0.9, 0.99)
    ]
    shown = settings.tables(settings.record(swept))
    assert shown["Hypers"]["gamma"] == shown["Environment parameters"]["gravity"] == "varied"
    assert shown["Config"]["epochs"] == "varied" and shown["Config"]["minibatches"] == 2
    assert shown["Training"]["seeds"] == "3, 5" and shown["Environment"]["time limit"] == 500
    assert shown["Environment"]["2"] == "scale_reward(scale=0.5)"


def test_the_page_shows_what_ran_and_says_where_it_is_not_known(plain, tmp_path):
    report.page(plain, tmp_path / "x.html", records={"": {"config": {"num_envs": 77}}})
    text = (tmp_path / "x.html").read_text()
    for name, value in (("clip_range", 0.1), ("num_envs", 4), ("gravity", 5.0), ("seeds", "3, 5")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "scale_reward(scale=0.5)" in text and "77" not in text.split("Configuration</h2>")[1]
    old = plain.copy()
    del old.attrs["record"]
    report.page(old, tmp_path / "old.html")
    assert "its settings are not known" in (tmp_path / "old.html").read_text()


def test_exports_carry_what_ran(swept, plain, tmp_path):
    known = settings.record(plain)
    export.to_csv(plain, tmp_path / "x.csv")
    assert json.loads((tmp_path / "x.csv.json").read_text()) == {"": known}
    assert len(pandas.read_csv(tmp_path / "x.csv")) == 2 * 2
    frame = export.frame({"a": plain, "b": swept})
    assert frame.attrs["records"] == {"a": known, "b": settings.record(swept)}
    export.to_netcdf(plain, tmp_path / "x.nc")
    import xarray

    with xarray.open_dataset(tmp_path / "x.nc", engine="scipy") as stored:
        assert settings.record(stored) == known
    member = next(export.members(swept)).settings
    assert member["gamma"] == 0.9 and member["env.gravity"] == 9.8 and member["seed"] == 3
    assert member["recipe"] == "make('CartPole-v1', length=2.0) > scale_reward(scale=0.5)"
