"""`run`, from arguments to trained members."""

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.envs import probes
from tests.shared import drawn

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
STEPS = CONFIG.num_envs * CONFIG.rollout_length


@pytest.fixture(scope="module")
def env():
    return probes.delayed_reward()


@pytest.fixture(scope="module")
def agent(env):
    return ppo(env, CONFIG, drawn(nets.actor_critic(env.observation, env.action, hidden=(8,))))


@pytest.fixture(scope="module")
def result(agent, env):
    return pjs.run(agent, env, seeds=[5, 7], steps=6.5 * STEPS, segments=4)


def test_curves_are_labelled(result):
    curves = result.curves
    assert curves.step.values.tolist() == [STEPS * i for i in range(1, 7)]
    assert curves.seed.values.tolist() == [5, 7]
    assert curves.steps_per_second.dims == ("step",)
    # Every episode of this environment has two steps and returns 1.
    np.testing.assert_array_equal(curves.episode_length, 2.0)
    np.testing.assert_array_equal(curves.episode_return, 1.0)
    np.testing.assert_array_equal(curves.episodes, STEPS / 2)
    assert curves.attrs["agent"] == "ppo" and curves.attrs["environment"] == env_name(result)
    for name, variable in curves.data_vars.items():
        expected = np.bool_ if name == "diverged" else np.float32
        means = ["mean_over"] * (name in {"episode_return", "episode_length"})
        assert variable.dtype == expected and [*variable.attrs] == ["long_name", "units", *means]
    assert curves.episode_return.attrs["mean_over"] == "episodes"


def env_name(result):
    return result.env.name


def count_programs(monitored):
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: monitored.append(event) if "backend_compile" in event else None
    )


def test_progress_counts_and_one_program_is_for_init_and_one_for_training(agent, env):
    told, compiled = [], []
    count_programs(compiled)
    pjs.run(agent, env, seeds=2, steps=5 * STEPS, segments=2, on_segment=told.append)
    assert len(compiled) == 3, "the third is small, and checks the environment"
    assert [(p.update, p.updates, p.step, p.steps) for p in told] == [
        (3, 5, 3 * STEPS, 5 * STEPS),
        (5, 5, 5 * STEPS, 5 * STEPS),
    ]
    assert [p.history["episodes"].shape for p in told] == [(2, 3), (2, 2)]


def test_a_second_evaluation_compiles_nothing(agent, env):
    result, compiled = pjs.run(agent, env, seeds=2, steps=2 * STEPS), []
    policy = result.policy(seed=1)
    first = result.evaluate(3), policy.evaluate(3)
    count_programs(compiled)
    again = result.evaluate(3), result.policy(seed=1).evaluate(3)
    assert compiled == []
    np.testing.assert_array_equal(first[0].episode_return, again[0].episode_return)
    np.testing.assert_array_equal(first[1].episode_return, again[1].episode_return)
    assert result.evaluate(5).sizes["episode"] == 5


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "segments"), [(3, 5), (4, 1)])
def test_as_many_programs_for_any_seeds_and_segments(agent, env, seeds, segments):
    compiled = []
    count_programs(compiled)
    pjs.run(agent, env, seeds=seeds, steps=5 * STEPS, segments=segments)
    assert len(compiled) == 3


def test_output_memory_grows_with_updates_not_with_steps(env):
    def bytes_out(length):
        network = nets.actor_critic(env.observation, env.action, hidden=(8,))
        agent = ppo(env, CONFIG._replace(rollout_length=length), network)
        init, _, train, *_ = pjs.make_train(agent, env, updates_per_call=10)
        key = jax.random.key(0)
        run = jax.eval_shape(init, key, agent.hypers, env.params)
        clock = pjs.Clock(np.int32(0), np.int32(10))
        history = jax.eval_shape(train, key, agent.hypers, env.params, run, clock)[1]
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(history))

    assert bytes_out(8) == bytes_out(512)


def test_policy_is_evaluated_and_restored(result, tmp_path):
    policy = result.policy(seed=7)
    evaluation = policy.evaluate(8)
    np.testing.assert_array_equal(evaluation.episode_return, np.ones(8))
    np.testing.assert_array_equal(evaluation.episode_length, 2)
    assert evaluation.completed.all()
    policy.save(tmp_path / "member")
    restored = pjs.load_policy(tmp_path / "member", result.agent, result.env)
    jax.tree.map(np.testing.assert_array_equal, policy.state, restored.state)
    with pytest.raises(ValueError, match="seed 3 was not trained, these were: .5, 7."):
        result.policy(seed=3)
    wider = ppo(result.env, CONFIG, nets.actor_critic(result.env.observation, result.env.action))
    with pytest.raises(ValueError, match="was saved with state.learner.params"):
        pjs.load_policy(tmp_path / "member", wider, result.env)
    with pytest.raises(ValueError, match="expected a saved policy"):
        pjs.load_policy(tmp_path, result.agent, result.env)


def test_every_member_is_evaluated(result):
    evaluation = result.evaluate(episodes=4)
    assert evaluation.episode_return.dims == ("seed", "episode")
    assert evaluation.seed.values.tolist() == [5, 7]
    short = result.evaluate(episodes=4, steps=1)
    assert not short.completed.any() and (short.episode_length == 1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": 0}, "seeds: expected a number of seeds in 1 .. "),
        ({"seeds": [1, 1]}, "seeds: expected distinct integers, got 1 twice"),
        ({"seeds": [-1]}, r"seeds\[0\]: expected an integer in 0 .. 4294967295, got -1"),
        ({"steps": STEPS - 1}, r"one update, 4 environments x 8 steps = 32\), got 31"),
        ({"steps": float("nan")}, "steps: expected a finite number of at least 32 .*, got nan"),
        (
            {"steps": 32.0 * 2**31},
            "steps: expected at most 68,719,476,704 ",
        ),
        ({"segments": 0}, "segments: expected an integer of at least 1, got 0"),
        ({"reset_pool": -1}, "reset_pool: expected an integer of at least 0, got -1"),
        ({"hypers": PPOHypers(gamma=float("nan"))}, r"hypers.gamma: expected .*\[0, 1\], got nan"),
        ({"hypers": PPOHypers(max_gradient_norm=0.0)}, "max_gradient_norm: .* above 0, got 0"),
        ({"hypers": PQNHypers()}, "hypers: expected a PPOHypers or points of one, got a PQNHypers"),
        ({"env": probes.tracking()}, "was built for"),
    ],
)
def test_bad_input_is_refused_before_compilation(agent, env, arguments, message):
    with jax.log_compiles(False), pytest.raises(ValueError, match=message):
        pjs.run(agent, **({"env": env, "seeds": 1, "steps": STEPS} | arguments))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda env: ppo(env, CONFIG._replace(minibatches=3)), "minibatches=3 must divide the 32"),
        (
            lambda env: ppo(env, CONFIG._replace(num_envs=0)),
            "config.num_envs: expected an integer of at least 1, got 0",
        ),
        (lambda env: pqn(env, PQNConfig(minibatches=5)), "minibatches=5 must divide the 4096"),
        (lambda env: pqn(probes.tracking()), "pqn needs Discrete actions"),
    ],
)
def test_agents_refuse_bad_configurations(env, build, message):
    with pytest.raises(ValueError, match=message):
        build(env)
