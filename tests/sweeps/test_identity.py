"""What makes an experiment this one: everything that decides a number, and nothing else."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.core.types import Environment
from purejaxrl_suite.envs import probes, wrappers
from purejaxrl_suite.plasticity import every, metrics, redo
from purejaxrl_suite.sweeps import identity
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.store import Sweep
from tests.shared import drawn

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
STEPS = 4 * CONFIG.num_envs * CONFIG.rollout_length
OPAQUE = f"all names agree, but {identity.OF_MEMBERS}"


def network(activation=jnp.tanh):
    def build(env):
        options = {"hidden": (8,), "activation": activation}
        return drawn(nets.actor_critic(env.observation, env.action, **options))

    return build


def extra(weight):
    return lambda inputs: (weight * jnp.mean(jnp.square(inputs.output.value)), {})


def identity_of(env=None, builder=ppo, **changes):
    given = {"config": CONFIG, "network": network(), "seeds": 2, "steps": STEPS} | changes
    return lay_out(Experiment(builder, env or probes.delayed_reward(), **given)).identity()


def difference(ours, programs=True, **changes):
    there = json.loads(json.dumps(ours))
    return identity.difference(there, identity_of(**changes), programs=programs)


@pytest.fixture(scope="module")
def ours():
    return identity_of()


@pytest.fixture(scope="module")
def cartpole():
    return pjs.make("CartPole-v1")


def test_an_identity_equals_itself_built_anew_and_read_from_json(ours):
    assert difference(ours) is None
    assert difference(ours, intervention=None, metrics=(), reset_pool=1, measure_every=3) is None
    tabular = jnp.arange(4.0)

    def shifted(offset):
        return own(lambda reward, state: reward + (tabular + offset)[state])

    assert difference(identity_of(shifted(0.0)), env=shifted(0.0)) is None


def own(reward):
    """An environment of the user's own: nothing but its functions tells what it does."""
    base = probes.delayed_reward()

    def step(key, params, state, action):
        state, now = base.step(key, params, state, action)
        return state, now._replace(reward=reward(now.reward, state))

    return Environment("own", *base[1:6], step)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seeds": 3}, "seeds is [0, 1] there, [0, 1, 2] here"),
        ({"seeds": [1, 0]}, "seeds is [0, 1] there, [1, 0] here"),
        ({"steps": 2 * STEPS}, "updates is 4 there, 8 here"),
        ({"steps": STEPS + 1}, "steps is 128.0 there, 129.0 here"),
        ({"reset_pool": 0}, "reset_pool is 1 there, 0 here"),
        ({"hypers": PPOHypers(gamma=0.5)}, "hypers.gamma is 0.99 there, 0.5 here"),
        ({"config": CONFIG._replace(epochs=2)}, "config.epochs is 1 there, 2 here"),
        (
            {"env": wrappers.scale_reward(probes.delayed_reward(), -3.0)},
            "recipe is ['delayed_reward()'] there, "
            "['delayed_reward()', 'scale_reward(scale=-3.0)'] here",
        ),
        (
            {"metrics": [metrics.weight_norm], "measure_every": 2},
            "intervention is None there, every(2, record(weight_norm)) here",
        ),
        (
            {"network": network(jax.nn.relu)},
            OPAQUE,
        ),
    ],
)
def test_a_difference_is_named(ours, changes, named):
    assert difference(ours, **changes) == named


def test_an_update_is_traced_once_to_be_known_and_trained(tmp_path):
    """Also from a start of constants, whose types differ from those of a state that is passed."""
    env, traced = probes.delayed_reward(), []

    def init(key, params):
        state, obs = env.init(key, params)
        return (state, False), obs

    def step(key, params, state, action):
        after, time = env.step(key, params, state[0], action)
        return (after, state[1]), time

    def build(*known):
        agent = ppo(*known)

        def update(*known):
            traced.append(known)
            return agent.update(*known)

        return agent._replace(update=update)

    given = {"config": CONFIG, "network": network(), "seeds": 2, "steps": STEPS}
    pjs.sweep(build, env._replace(init=init, step=step), **given, out=tmp_path / "r")
    assert len(traced) == 1


def test_every_value_of_a_grid_counts(ours):
    grid = pjs.search.grid(PPOHypers(), gamma=[0.9, 0.99])
    assert difference(ours, hypers=grid) == "traced axes.gamma is missing there, [0.9, 0.99] here"
    there = identity_of(hypers=grid)
    assert there["groups"][0]["hypers"]["gamma"] == [0.9, 0.99]
    other = pjs.search.grid(PPOHypers(clip_range=0.1), gamma=[0.9, 0.99])
    assert difference(there, hypers=other) == "hypers.clip_range is 0.2 there, 0.1 here"


def test_parameters_of_the_environment_count(cartpole):
    there = identity_of(cartpole)
    for params, named in (
        (cartpole.params.replace(max_steps_in_episode=np.int32(7)), "max_steps_in_episode is 500"),
        (cartpole.params.replace(gravity=np.float32(5.0)), "gravity is 9.8 there, 5.0 here"),
    ):
        found = difference(there, env=cartpole, env_params=params)
        assert found and found.startswith(f"env_params.{named}")
    option = difference(there, env=pjs.make("CartPole-v1", length=2.0))
    assert (
        option
        == "recipe is [\"make('CartPole-v1')\"] there, [\"make('CartPole-v1', length=2.0)\"] here"
    )
    swept = identity_of(cartpole, env_params=pjs.search.grid(cartpole.params, gravity=[9.8, 3.0]))
    assert swept["groups"][0]["env_params"]["gravity"] == [9.8, 3.0]
    assert identity_of(cartpole)["groups"][0]["time limit"] == 500


def test_what_has_no_name_counts():
    there = identity_of(own(lambda reward, state: 2.0 * reward))
    assert difference(there, env=own(lambda reward, state: 2.0 * reward)) is None
    assert difference(there, env=own(lambda reward, state: 3.0 * reward)) == OPAQUE
    assert difference(there, env=own(lambda reward, state: reward + reward)) == OPAQUE
    table = np.arange(4.0, dtype=np.float32)
    closed = identity_of(own(lambda reward, state: jnp.asarray(table)[state]))
    changed = table + np.float32(1e-6)
    assert difference(closed, env=own(lambda reward, state: jnp.asarray(changed)[state])) == OPAQUE
    life = wrappers.episodic_life(probes.delayed_reward(), lambda state: state)
    same = wrappers.episodic_life(probes.delayed_reward(), lambda state: 3 - state)
    assert life.recipe == same.recipe
    assert difference(identity_of(life), env=same) == OPAQUE
    cures = [every(2, redo(0.1))._replace(name="cure"), every(2, redo(0.2))._replace(name="cure")]
    assert difference(identity_of(intervention=cures[0]), intervention=cures[1]) == OPAQUE
    assert difference(there, programs=False, env=own(lambda reward, state: reward)) is None


def test_an_extra_loss_counts(ours):
    zero, one = (partial(ppo, extra_loss=extra(weight)) for weight in (0.0, 1.0))
    there = identity_of(builder=zero)
    assert difference(there, builder=partial(ppo, extra_loss=extra(0.0))) is None
    assert difference(there, builder=one) == OPAQUE
    assert difference(ours, builder=zero) == OPAQUE


def test_constants_deep_inside_are_hashed_and_names_and_places_are_not():
    def nested(constant, name):
        def inner(x):
            return jax.lax.cond(x > 0, lambda y: y * constant, lambda y: y - 1.0, x)

        inner.__name__ = name
        return jax.make_jaxpr(
            lambda x: jax.lax.scan(lambda c, _: (jax.jit(inner)(c), 0), x, None, 2)
        )(1.0)

    def digest(constant, name="inner"):
        return identity.digest_of(nested(constant, name))

    assert digest(2.0) == digest(2.0) == digest(2.0, "another")
    table = np.ones(300, np.float32)
    found = {digest(2.0), digest(3.0)}
    for x in (table, table.astype(np.float16), table.reshape(3, 100)):
        found.add(identity.digest_of(jax.make_jaxpr(lambda y, x=x: y + jnp.asarray(x).sum())(1.0)))
    assert len(found) == 5


def test_a_digest_is_that_of_every_process(ours, tmp_path):
    script = tmp_path / "elsewhere.py"
    text = (
        "\n\n\nimport sys\nsys.path.insert(0, sys.argv[1])\nfrom test_identity import identity_of\n"
    )
    script.write_text(text + "print(identity_of(seeds=5)['groups'][0]['program'])\n")
    command = [sys.executable, str(script), os.path.dirname(__file__)]
    root = str(Path(__file__).resolve().parents[2])
    variables = {
        "PYTHONPATH": root,
        "PYTHONHASHSEED": "7",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=3",
    }
    found = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=300
    )
    assert found.stdout.strip() == ours["groups"][0]["program"], found.stderr[-2000:]


def test_settings_of_jax_that_no_program_shows_are_named(ours):
    """How random bits are made is decided when a program is lowered: its jaxpr stays the same."""
    there = json.loads(json.dumps(ours))
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        found = difference(there, programs=False)
    assert found is not None and found.startswith("settings.jax_threefry_partitionable is True")


def test_code_and_closure_of_what_is_called_back_are_told_apart():
    def made(factor, form=lambda scale: lambda x: np.float32(scale * x)):
        def step(x):
            shape = jax.ShapeDtypeStruct((), np.float32)
            return jax.pure_callback(form(factor), shape, x)

        return identity.digest_of(jax.make_jaxpr(step)(1.0))

    plus, minus = (eval(f"lambda scale: lambda x: x {sign} scale") for sign in "+-")  # same names
    assert made(2.0) == made(2.0) != made(3.0)
    assert made(2.0, plus) == made(2.0, plus) != made(2.0, minus)


def test_changed_versions_need_a_word_and_are_recorded(ours, tmp_path):
    there = {"versions": {"jax": "0.1", "optax": "1"}, "device": "2 x cpu"}
    here = {"versions": {"jax": "0.2", "optax": "1", "brax": "3"}, "device": "1 x cpu"}
    assert identity.changes(there, here) == {"jax": ["0.1", "0.2"]}
    assert identity.changes(here | {"device": "8 x H200"}, here) == {"device": ["H200", "cpu"]}
    sweep, sizes = Sweep(tmp_path / "x"), {"chunk": [2], "row": [1]}
    old = json.loads(json.dumps(ours))
    old["groups"][0]["program"] = "of another version"
    sweep.create(old, sizes, there)
    assert sweep.open(ours) == sizes, "programs of other versions are others"
    with pytest.raises(ValueError, match="was begun with jax 0.1 there, .* here.*--accept-changes"):
        sweep.go_on(ours, accept_changes=False)
    sweep.go_on(ours, accept_changes=True)
    sweep.go_on(ours, accept_changes=False)
    content = json.loads((tmp_path / "x" / "sweep.json").read_text())
    assert content["identity"]["groups"][0]["program"] == ours["groups"][0]["program"]
    (accepted,) = content["accepted"]
    assert accepted["changes"]["jax"] == ["0.1", jax.__version__] and accepted["when"]
    with pytest.raises(ValueError, match="x is another experiment: all names agree, but"):
        sweep.open(old)


def test_a_finished_folder_of_other_parameters_is_refused(cartpole, tmp_path):
    def train(builder=ppo, **changes):
        arguments = {"config": CONFIG, "network": network(), "seeds": 1, "steps": STEPS / 4}
        arguments |= {"progress": False} | changes
        return pjs.sweep(builder, cartpole, **arguments)

    train(out=tmp_path / "x")
    other = cartpole.params.replace(max_steps_in_episode=np.int32(7))
    message = "x is another experiment: env_params.max_steps_in_episode is 500 there, 7 here"
    with pytest.raises(ValueError, match=message):
        train(resume=tmp_path / "x", env_params=other)
    with pytest.raises(ValueError, match="x is another experiment: all names agree"):
        train(resume=tmp_path / "x", network=network(jax.nn.relu))
    with pytest.raises(ValueError, match="x is another experiment: all names agree"):
        train(partial(ppo, extra_loss=extra(0.0)), resume=tmp_path / "x")
    assert train(resume=tmp_path / "x").curves.sizes["seed"] == 1


def test_the_arguments_of_a_selection_are_part_of_an_experiment():
    def rule(high=1.0, perturb=(0.8, 1.25)):
        return pjs.population_based_training({"gamma": (0.5, high)}, perturb=perturb)

    digests = [
        *(rule(), rule(0.9), rule(perturb=(0.5,))),
        *(pjs.successive_halving(), pjs.successive_halving(0.25)),
    ]
    found = [identity.digest_of_function(one) for one in digests]
    assert len(set(found)) == len(found)
    assert identity.digest_of_function(rule()) == found[0]


def test_a_message_shows_where_two_long_values_differ():
    saved, ours = ({"metrics": ["a" * 300, end]} for end in ("first", "second"))
    told = identity.difference(saved, ours, programs=True)
    assert told is not None and "first" in told and "second" in told and len(told) < 500
