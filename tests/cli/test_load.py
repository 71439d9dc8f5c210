"""`pjs.load`: a run from its folder alone, or with the functions that a folder cannot hold."""

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import cli, nets, plasticity, sparsity
from purejaxrl_suite.agents.shared.bbf_released import AsReleased
from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.agents import agents
from purejaxrl_suite.cli.load import _of_record, curves
from purejaxrl_suite.envs import probes, wrappers
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.record import record_of
from tests.contract.agents import BOXED, source_of
from tests.shared import drawn

CONFIG = pjs.PPOConfig(num_envs=2, rollout_length=8, epochs=1, minibatches=2)
NOTHING = dict.fromkeys(
    ("env", "network", "builder", "config", "intervention", "metrics", "source")
)


def small(env):
    return drawn(nets.actor_critic(env.observation, env.action, hidden=(8,)))


def other(env):
    options = {"hidden": (8,), "activation": jax.nn.relu}
    return drawn(nets.actor_critic(env.observation, env.action, **options))


def cartpole():
    return pjs.make("CartPole-v1", length=2.0)


def laid(builder, env, **arguments):
    experiment = Experiment(builder, env, **{"seeds": [3, 1], "steps": 4096} | arguments)
    return lay_out(experiment, goes_on=True)  # some agents go on from others


def points():
    """A grid of parameters, drawn hypers, and a Config for each of two choices."""
    env = cartpole()
    return laid(
        pjs.ppo,
        env,
        env_params=pjs.search.grid(env.params, gravity=[9.0, 10.1], force_mag=[7.0]),
        hypers=pjs.search.random(pjs.PPOHypers(), 3, gamma=pjs.search.uniform(0.9, 1.0)),
        config=pjs.search.grid(CONFIG, epochs=[1, 2], normalize_rewards=[False, True]),
    )


LAID = {
    "points": points,
    "parameters": lambda: laid(
        pjs.ppo, cartpole(), env_params=cartpole().params.replace(gravity=7.0), config=CONFIG
    ),
    "environments": lambda: laid(
        pjs.pqn,
        [probes.delayed_reward(), wrappers.scale_reward(probes.recall(), 2.0)],
        hypers=pjs.search.one_at_a_time(pjs.PQNHypers(), gamma=[0.5, 0.9]),
        config=pjs.PQNConfig(num_envs=4, minibatches=4),
        reset_pool=0,
    ),
    "switches": lambda: laid(
        pjs.bbf,
        pjs.make("Breakout-MinAtar"),
        config=pjs.BBFConfig(as_released=AsReleased(window=True)),
    ),
    "infinite": lambda: laid(pjs.sac, pjs.make("Pendulum-v1"), hypers=pjs.SACHypers(gamma=0.5)),
}


@pytest.mark.parametrize("name", LAID)
def test_a_layout_is_made_again_from_its_record(name):
    ours = LAID[name]()
    record = record_of(ours)
    again = _of_record(record, NOTHING, 10)
    assert record_of(again) == record
    for group, made in zip(ours.groups, again.groups, strict=True):
        assert made.agent.config == group.agent.config and made.labels == group.labels
        for mine, theirs in zip(group.members, made.members, strict=True):
            jax.tree.map(np.testing.assert_array_equal, mine, theirs)
        kinds = jax.tree.map(jax.typeof, group.members.data_of(0))
        assert kinds == jax.tree.map(jax.typeof, made.members.data_of(0))


def test_every_agent_is_made_again_by_its_name():
    for name, entry in agents().items():
        env = pjs.make("Pendulum-v1" if name in BOXED else "Breakout-MinAtar")
        source = {"source": source_of(entry.build(env, entry.config, None, entry.hypers), env)}
        ours = laid(entry.build, env, config=entry.config, steps=1e6, **source)
        again = _of_record(record_of(ours), NOTHING | source, 10).groups[0].agent
        assert again.name == name and again.config == ours.groups[0].agent.config


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """(folder, result) of a sweep of the suite's own parts."""
    out, env = tmp_path_factory.mktemp("runs") / "own", probes.delayed_reward()
    hypers = pjs.search.grid(pjs.PPOHypers(), gamma=[0.9, 0.99])
    arguments = {"hypers": hypers, "config": CONFIG, "progress": False}
    return out, pjs.sweep(pjs.ppo, env, seeds=2, steps=64, segments=2, out=out, **arguments)


def test_a_finished_sweep_is_loaded_whole(sweep):
    out, ours = sweep
    found = pjs.load(out, announce=pytest.fail)
    assert found.curves.identical(ours.curves) and str(found) == str(ours)
    assert found.parameters.equals(ours.parameters)
    at = {"gamma": 0.99}
    mine, theirs = ours.policy(at, seed=1), found.policy(at, seed=1)
    for part in ("state", "hypers", "env_params"):
        both = getattr(mine, part), getattr(theirs, part)
        jax.tree.map(np.testing.assert_array_equal, *both)
    for one in (found, mine):
        with pytest.raises(ValueError, match="^gravity: expected no such argument of evaluate"):
            one.evaluate(1, gravity=3)
    assert found.evaluate(2).episode_return.equals(ours.evaluate(2).episode_return)


def test_a_sparse_agent_is_made_again_by_the_builder_that_is_given():
    def sparse(updater):
        return pjs.sparse(pjs.pqn, updater, period=64)

    rigl = sparse(sparsity.rigl())
    hypers = pjs.search.grid(rigl(cartpole()).hypers, sparsity=[0.5, 0.9])
    config = pjs.PQNConfig(num_envs=4)
    record = record_of(laid(rigl, cartpole(), hypers=hypers, config=config))
    name = "pqn with rigl(cosine, erk, unstructured) every 64 gradient steps"
    (group,) = record["groups"]
    assert group["agent"] == name and group["hypers"]["sparsity"] == [0.5, 0.9]
    again = _of_record(record, NOTHING | {"builder": rigl}, 10)
    assert record_of(again) == record and again.groups[0].agent.config == config
    with pytest.raises(ValueError, match=r"builder: this run is of .* rigl\(.*pass builder="):
        _of_record(record, NOTHING, 10)
    with pytest.raises(ValueError, match=r"builder: expected one of .* rigl\(.* got .* set\("):
        _of_record(record, NOTHING | {"builder": sparse(sparsity.sparse_evolutionary())}, 10)


def run(out, env=None, network=small, **arguments):
    env = env or probes.delayed_reward()
    how = {"config": CONFIG, "progress": False, "network": network, **arguments}
    return pjs.sweep(pjs.ppo, env, seeds=1, steps=32, out=out, **how)


def test_functions_of_the_users_own_are_asked_for_and_compared(tmp_path):
    shown = wrappers.transform_observation(
        probes.delayed_reward(), lambda obs: 0.5 * obs, probes.delayed_reward().observation
    )
    metrics = [plasticity.dormant()]
    ours = run(tmp_path / "own", env=shown, metrics=metrics, measure_every=1)
    given = {}
    for name, value, message in (
        ("env", shown, r"env: no folder holds .*transform_observation.*: pass env="),
        ("network", small, r"network: .* is .* there, .* here: pass network="),
        ("metrics", metrics, r"intervention: expected every\(1, record.*pass intervention=, metr"),
    ):
        with pytest.raises(ValueError, match=message):
            pjs.load(tmp_path / "own", **given)
        given[name] = value
    found = pjs.load(tmp_path / "own", measure_every=1, **given)
    assert found.curves.identical(ours.curves)
    with pytest.raises(ValueError, match=r"functions of .* differ: pass your own functions"):
        pjs.load(tmp_path / "own", measure_every=1, **given | {"network": other})
    with pytest.raises(ValueError, match="another experiment: .*recipe"):
        pjs.load(tmp_path / "own", measure_every=1, **given | {"env": probes.delayed_reward()})


def test_an_agent_of_the_users_own_is_asked_for(tmp_path):
    def mine(env, config, network, hypers):
        return pjs.ppo(env, config, network, hypers)._replace(name="mine")

    how = {"config": CONFIG, "progress": False}
    pjs.sweep(mine, probes.delayed_reward(), seeds=1, steps=32, out=tmp_path / "run", **how)
    with pytest.raises(ValueError, match="builder: this run is of mine, .*: pass builder="):
        pjs.load(tmp_path / "run")
    found = pjs.load(tmp_path / "run", builder=mine, config=CONFIG)
    assert found.agent.name == "mine" and found.curves.sizes["step"] == 2


def test_an_unfinished_run_is_loaded_as_far_as_it_is(tmp_path):
    """Its curves, also by commands, whatever network and metrics it has."""

    def stop(progress):
        if progress.update == 2:
            raise KeyboardInterrupt

    out, env = tmp_path / "run", probes.delayed_reward()
    how = {"config": CONFIG, "progress": False, "segments": 4, "out": out}
    own = {"network": small, "metrics": [plasticity.dormant()], "measure_every": 1}
    with pytest.raises(KeyboardInterrupt):
        pjs.sweep(pjs.ppo, env, seeds=2, steps=64, on_segment=stop, **how, **own)
    told = []
    found = pjs.load(out, announce=told.append, **own)
    assert curves(out, announce=told.append).identical(found.curves)
    assert told.pop() == told[0]
    assert told == [f"{out} is not finished: 50% of it is trained"]
    assert found.curves.step.values.tolist() == [16, 32]
    assert np.isfinite(found.policy(seed=1).value(np.zeros((1,), np.float32)))
    assert "50% of it is trained" in str(found)
    assert (
        cli.main(["report", str(out)]) == 0 and cli.main(["export", str(out), "--to", "csv"]) == 0
    )
    assert "50% of it is trained" in (out / "report.html").read_text()
    assert len((out / "curves.csv").read_text().splitlines()) == 1 + 2 * 2


def test_a_command_that_needs_functions_says_how_python_reads_them(tmp_path):
    def ask(*_, **__):
        raise ValueError("network: ...: pass network=")

    with pytest.raises(ValueError, match=r"pass network=; no command can: in Python `pjs.load\('"):
        folder.read(tmp_path, ask)


def test_what_is_no_run_says_so(tmp_path):
    with pytest.raises(ValueError, match="which holds no run .no sweep.json."):
        pjs.load(tmp_path)
    with pytest.raises(ValueError, match="which is no folder"):
        pjs.load(tmp_path / "nothing")
    (tmp_path / "policy.json").write_text("{}")
    with pytest.raises(ValueError, match="`load_policy` reads saved policies"):
        pjs.load(tmp_path)


def test_what_was_killed_while_it_was_replaced_is_loaded(sweep):
    out, ours = sweep
    out.rename(files._aside(out))  # between the two renames of `replace_folder`
    assert pjs.load(out).curves.identical(ours.curves)


def test_damage_is_named(sweep):
    out, _ = sweep
    path = out / "sweep.json"
    content = path.read_text()
    path.write_text(content.replace("ppo", "pqn", 1))
    with pytest.raises(ValueError, match="sweep.json is damaged"):
        pjs.load(out)
    path.write_text(content)
