"""Metrics and interventions in the engine: when they are computed, what they leave alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import execute
from tests.shared import compiled_once

CONFIG = PQNConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
STEPS = 32
METRICS = (plasticity.dormant(0.1), plasticity.weight_norm, plasticity.policy_churn)
NOTHING = plasticity.chain(
    plasticity.redo(-1.0), plasticity.every(7, plasticity.reset_layers(("heads", "trunk/dense_0")))
)
CURE = plasticity.chain(
    plasticity.every(2, plasticity.redo(0.5)),
    plasticity.every(1, plasticity.overlap(0.5)),
    plasticity.continual_backprop(rate=0.2, maturity=1.0),
    plasticity.once(4, plasticity.shrink_and_perturb()),
)


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


@pytest.fixture(scope="module")
def env():
    return probes.delayed_reward()


def network(env):
    # The suite's own initialisers take long to compile, and interventions draw from them.
    options = {"layer_norm": False, "kernel_init": jax.nn.initializers.uniform(1.0)}
    return nets.q_network(env.observation, env.action, hidden=(8,), **options)


@pytest.fixture(scope="module")
def agent(env):
    return pqn(env, CONFIG, network(env))


@pytest.fixture(scope="module")
def plain(agent, env):
    return pjs.run(agent, env, seeds=3, steps=6 * STEPS)


ARGUMENTS = {
    "config": CONFIG,
    "network": network,
    "metrics": METRICS,
    "measure_every": 3,
    "seeds": 3,
    "steps": 6 * STEPS,
    "progress": False,
}


@pytest.fixture(scope="module")
def treated(env):
    arms = {"nothing": NOTHING, "cured": CURE}
    return pjs.sweep(pqn, env, **ARGUMENTS, intervention=arms, segments=1)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_what_never_acts_changes_no_bit(plain, treated):
    same(plain.state().agent, treated.state(0).agent)
    assert plain.state().intervention == ()
    found = treated.curves.sel(intervention="nothing")
    for name, variable in plain.curves.drop_vars("steps_per_second").items():
        np.testing.assert_array_equal(variable, found[name])
    assert np.all(found.redo_recycled == 0)


def test_what_acts_is_an_axis_and_shows(plain, treated):
    norms = treated.curves.weight_norm
    assert norms.dims == ("intervention", "seed", "step")
    cured = treated.curves.sel(intervention="cured")
    assert cured.overlap_ever.dims == ("seed", "step")
    # Until something acts, everything is as without it; then it is not.
    for name in ("td_loss", "q_value"):
        here, there = plain.curves[name].values, cured[name].values
        np.testing.assert_array_equal(here[:, :1], there[:, :1])
        assert not np.array_equal(here[:, 2:], there[:, 2:])
    assert treated.policy({"intervention": "cured"}, seed=1).agent.name == "pqn"


def test_rows_between_measurements_are_missing(treated):
    cured = treated.curves.sel(intervention="cured")
    assert np.isfinite(cured.weight_norm).all("seed").values.tolist() == [False, False, True] * 2
    assert np.isfinite(cured.policy_churn[:, [2, 5]]).all()
    assert np.isfinite(cured.redo_recycled).all("seed").values.tolist() == [False, True] * 3


def test_segments_folders_and_resuming_change_nothing(env, treated, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    arguments = ARGUMENTS | {"intervention": CURE, "segments": 3}
    with pytest.raises(KeyboardInterrupt):
        pjs.sweep(pqn, env, **arguments, out=tmp_path / "sweep", on_segment=stop)
    found = pjs.sweep(pqn, env, **arguments, resume=tmp_path / "sweep")
    same(treated.state(1), found.state())
    cured = treated.curves.sel(intervention="cured", drop=True)
    for name, variable in found.curves.drop_vars("steps_per_second").items():
        np.testing.assert_array_equal(variable, cured[name])
    other = arguments | {"intervention": plasticity.redo(0.2)}
    with pytest.raises(ValueError, match="intervention is .*redo.tau=0.5.* there"):
        pjs.sweep(pqn, env, **other, resume=tmp_path / "sweep")


def test_rare_work_stays_rare_in_a_batch_whose_members_differ(agent, env):
    """The clock law: a condition on the clock stays one under vmap. Thresholds are data."""
    executed = []

    def counted(learner, probe, inspection):
        jax.debug.callback(lambda: executed.append(1))
        return {"seen": jnp.float32(1.0)}

    options = {"metrics": [counted], "measure_every": 3, "updates_per_call": 7}
    cure = plasticity.every(2, plasticity.redo(0.5))
    init, _, train, *_ = make_train(agent, env, intervention=cure, **options)
    keys, clock = jnp.stack([jax.random.key(0)] * 2), Clock(jnp.int32(0), jnp.int32(7))

    @jax.jit
    def fleet(taus):
        run = jax.vmap(init, (0, None, None))(keys, agent.hypers, env.params)
        measured, treated = run.intervention
        run = run._replace(intervention=(measured, treated | {"tau": taus}))
        return jax.vmap(train, (0, None, None, 0, None))(keys, agent.hypers, env.params, run, clock)

    _, history = jax.block_until_ready(fleet(jnp.array([-1.0, 1.0])))
    jax.effects_barrier()
    assert len(executed) == 2  # after updates 3 and 6, and not after all of them
    assert history["seen"].shape == (2, 7)
    recycled = history["redo_recycled"][:, 1::2]
    assert np.all(recycled[0] == 0) and np.all(recycled[1] > 0)


@pytest.mark.slow
def test_looking_at_a_replay_does_not_copy_it(env):
    config = DQNConfig(num_envs=4, rollout_length=4, batch_size=8, capacity=2**16, probe_size=16)
    agent = dqn(env, config, network(env), DQNHypers())

    def temporary(**options):
        init, _, train, *_ = make_train(agent, env, updates_per_call=4, **options)
        key, clock = jax.random.key(0), Clock(jnp.int32(0), jnp.int32(4))
        run = jax.eval_shape(init, key, agent.hypers, env.params)
        arguments = key, agent.hypers, env.params, run, clock
        compiled = jax.jit(train, donate_argnums=3).lower(*arguments).compile()
        state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run))
        return compiled.memory_analysis().temp_size_in_bytes / state

    plain = temporary()
    watched = temporary(intervention=plasticity.every(2, plasticity.redo()), metrics=METRICS)
    assert watched < plain + 0.2


def test_what_makes_no_sense_is_refused(agent, env, monkeypatch):
    def refused(match, agent=agent, **options):
        with pytest.raises(ValueError, match=match):
            pjs.run(agent, env, seeds=1, steps=STEPS, **options)

    refused(
        "measure_every: expected an integer of at least 1, got 0", metrics=METRICS, measure_every=0
    )
    refused("has no network", agent=agent._replace(network=None), metrics=METRICS)
    refused("parts: the network has no 'tail'", intervention=plasticity.reset_layers(("tail",)))
    refused("expected an injectable one", intervention=plasticity.inject())
    twice = plasticity.chain(plasticity.redo(0.1), plasticity.redo(0.2))
    by = r"redo_recycled, by interventions.0. .redo.tau=0.1.. and by interventions.1. .redo.tau=0.2"
    with monkeypatch.context() as patch:  # before a program of training is compiled
        patch.setattr(execute, "check_quickly", lambda env: None)
        patch.setattr(jax.stages.Lowered, "compile", pytest.fail)
        refused(f"two things are recorded under one name: {by}", intervention=twice)
    again = plasticity.dormant(0.1), plasticity.dead, plasticity.dormant(0.1)
    refused("expected each once, got dormant_0.1 as metrics.0. and metrics.2.", metrics=again)
    with pytest.raises(ValueError, match="period: expected an integer of at least 1, got 0"):
        plasticity.every(0, plasticity.redo())
    with pytest.raises(ValueError, match="intervention: expected an Intervention"):
        pjs.sweep(pqn, env, intervention=plasticity.redo, seeds=1, steps=STEPS)
