"""SAC and TD3: targets and temperature by hand, densities by an oracle, known values are learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
from purejaxrl_suite.agents.shared import temperatures
from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3
from purejaxrl_suite.core.check import experience
from purejaxrl_suite.core.types import Box, Clock, Internals, Network, Transition
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.envs.multi_task import family, multi_task
from purejaxrl_suite.nets.tasks import multi_head
from purejaxrl_suite.ops import ensembles
from purejaxrl_suite.presets import PRESETS

UNIT = Box((1,), "float32", -1.0, 1.0)


def log_density(mean, log_std, noise):
    """Actions and log-probabilities of a tanh-Gaussian of one dimension, f32[B] each."""
    mean, log_std, noise = (np.asarray(x, np.float32)[:, None] for x in (mean, log_std, noise))
    action, log_prob = jax.jit(nets.squashed((True,)))(noise, nets.Gaussian(mean, log_std))
    return np.asarray(action)[:, 0], np.asarray(log_prob)


def test_the_log_probability_is_scipys_even_where_tanh_has_saturated():
    mean = np.asarray([0.0, 0.3, -1.0, 6.0, 20.0, -40.0, 0.0])
    log_std = np.asarray([0.0, -1.0, 0.5, -2.0, 1.0, 2.0, -5.0])
    noise = np.asarray([0.7, -1.2, 0.0, 2.0, 1.5, -2.5, 3.0])
    action, found = log_density(mean, log_std, noise)
    before = mean + np.exp(log_std) * noise
    # log(1 - tanh(x)^2) = -2 log cosh(x), in double precision.
    log_det = -2.0 * (np.abs(before) + np.log1p(np.exp(-2.0 * np.abs(before))) - np.log(2.0))
    expected = stats.norm.logpdf(before, mean, np.exp(log_std)) - log_det
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    np.testing.assert_allclose(action, np.tanh(before), atol=1e-6)
    assert np.abs(action).max() == 1.0  # in float32, and the density is finite


def test_the_density_integrates_to_one():
    noise = np.linspace(-6.0, 6.0, 4001)
    action, log_prob = log_density(np.full(4001, 0.4), np.full(4001, -0.3), noise)
    np.testing.assert_allclose(np.trapezoid(np.exp(log_prob), action), 1.0, atol=1e-3)


def test_deviations_are_bounded_as_their_names_say():
    """tanh: -5 + 3.5 (1 + tanh x). clip: x itself between the ends, and no gradient outside."""
    x = np.float32([-30.0, -20.5, -1.0, 0.0, 1.5, 3.0])
    bounds = nets.tanh_bound(-5.0, 2.0), nets.clip_bound(-20.0, 2.0)
    smooth, clipped = (jax.jit(bound)(x) for bound in bounds)
    np.testing.assert_allclose(smooth, -5.0 + 3.5 * (1.0 + np.tanh(np.float64(x))), atol=1e-6)
    np.testing.assert_array_equal(clipped, [-20.0, -20.0, -1.0, 0.0, 1.5, 2.0])
    slopes = jax.jit(jax.grad(lambda x: jnp.sum(bounds[1](x))))(x)
    np.testing.assert_array_equal(slopes, [0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    network = PRESETS["sac-mujoco"].network(make("Pendulum-v1"))
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    policy = jax.jit(network.apply)(zeros, np.ones((1, 3), np.float32))[0].policy
    np.testing.assert_array_equal(policy.log_std, 0.0)  # a deviation of 1, and not of exp(-9)
    with pytest.raises(ValueError, match="expected bounds low < high, got 2.0 and 2.0"):
        nets.clip_bound(2.0, 2.0)


def test_the_temperature_rises_where_entropy_is_missing():
    old, only = temperatures.initial_temperature(0.2), np.zeros(4, np.int32)
    adjust = jax.jit(temperatures.adjust)
    for entropy, sign in ((-3.0, 1.0), (-1.0, -1.0)):
        new = adjust(old, (np.full(4, -entropy, np.float32), only), 0.1, -2.0)
        # The first step of Adam is as long as the learning rate.
        np.testing.assert_allclose(new.log, np.log(0.2) + 0.1 * sign, rtol=1e-5)
    fixed = adjust(old, (np.full(4, 3.0, np.float32), only), 0.0, -2.0)
    np.testing.assert_array_equal(fixed.log, old.log)
    # -alpha * (log pi + target), by the logarithm of alpha: -0.2 * (3 - 2).
    np.testing.assert_allclose(new.opt_state[0].mu, 0.1 * 0.2 * (2.0 - 1.0), rtol=1e-5)


def test_each_task_may_have_a_temperature_of_its_own():
    old, task = temperatures.initial_temperature(0.2, 3), np.int32([0, 1, 1, 0])
    log_prob = np.float32([3.0, 1.0, 1.0, 3.0])
    new = jax.jit(temperatures.adjust)(old, (log_prob, task), 0.1, -2.0)
    np.testing.assert_allclose(new.log - old.log, [0.1, -0.1, 0.0], atol=1e-5)
    expected = np.exp(np.asarray(new.log))[task]
    np.testing.assert_allclose(temperatures.weight(new, task), expected, rtol=1e-5)
    env = make("Pendulum-v1")
    with pytest.raises(ValueError, match="observations of Pendulum-v1 do not tell the task"):
        sac(env, SACConfig(temperature_of_each_task=True))


def test_a_head_and_a_temperature_for_each_task():
    """As multi-task SAC: what another task has learnt shows in no head of this one."""
    env = multi_task(family(make("Pendulum-v1"), [make("Pendulum-v1").params] * 2))
    config = SACConfig(2, 4, batch_size=8, capacity=32, temperature_of_each_task=True)
    plain = nets.actor_critics(env.observation, env.action, hidden=(4,))
    network = multi_head(plain, env.observation)
    agent = sac(env, config, network, SACHypers(min_history=1.0))
    key = jax.random.key(0)
    state = jax.eval_shape(agent.init, key, agent.hypers)
    assert state.temperature.log.shape == (2,)
    transition = jax.eval_shape(lambda s: experience(agent, key, agent.hypers, s), state)
    jax.eval_shape(agent.update, key, agent.hypers, state, transition)
    params = jax.device_get(jax.jit(network.init)(key))
    obs = np.eye(5, dtype=np.float32)[3:]  # one observation of each task

    @jax.jit
    def outputs(params):
        return network.apply(params, obs, action=jnp.full((2, 1), 0.3))[0]

    more = np.float32([0.0, 1.0])
    heads = jax.tree.map(lambda x: (x.T + more).T, params["heads"])  # those of the second task
    changed = {**params, "heads": heads}
    for before, after in zip(*map(jax.tree.leaves, map(outputs, (params, changed))), strict=True):
        np.testing.assert_array_equal(before[0], after[0])
        assert np.all(np.asarray(before[1]) != np.asarray(after[1]))


def numbers(policy, first, second):
    """A network that puts out its parameters, whatever it sees."""

    def apply(params, obs, memory=(), taps=None, action=None):
        heads, n = params["heads"], len(obs)
        rows = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (n, 1)), heads["actor"])
        rows = nets.Gaussian(**rows) if isinstance(rows, dict) else rows
        values = jnp.stack([jnp.broadcast_to(heads[f"critic_{i}"], n) for i in (0, 1)], axis=-1)
        return nets.ActorCritics(rows, values), Internals({}, (), {}, 0.0)

    heads = {"actor": policy, "critic_0": jnp.float32(first), "critic_1": jnp.float32(second)}
    copied = lambda key: {"heads": jax.tree.map(jnp.copy, heads)}  # noqa: E731
    return Network(copied, apply, apply, ())


def steps_of(n, terminated):
    """A rollout of one environment: observation 0, reward 10."""
    flags = np.full((n, 1), terminated)
    zeros = np.zeros((n, 1, 1), np.float32)
    return Transition(zeros, zeros, np.full((n, 1), 10.0, np.float32), flags, ~flags, zeros, {})


def critic_loss(agent, terminated, target):
    """The loss of the first gradient step, both critics together, when targets are these."""
    state = jax.jit(agent.init)(jax.random.key(0), agent.hypers)
    changed = {f"critic_{i}": jnp.float32(x) for i, x in enumerate(target)}
    state = state._replace(target={"heads": state.target["heads"] | changed})
    rollout = steps_of(agent.rollout_length, terminated)
    return jax.jit(agent.update)(jax.random.key(1), agent.hypers, state, rollout)[1]["critic_loss"]


SMALL = {"rollout_length": 8, "capacity": 4096}


@pytest.mark.parametrize(("terminated", "expected"), [(False, 10.0 + 0.5 * 3.0), (True, 10.0)])
def test_td3s_targets_by_hand(terminated, expected):
    """Targets 5 and 3 of the next action, of which 3 counts; a time limit is no end."""
    env = probes.tracking()
    config = TD3Config(**SMALL, gradient_steps=1, policy_delay=1, batch_size=4)
    hypers = TD3Hypers(gamma=0.5, min_history=1.0)
    agent = td3(env, config, numbers(jnp.zeros(1), 1.0, 2.0), hypers)
    found = critic_loss(agent, terminated, (5.0, 3.0))
    np.testing.assert_allclose(found, (1.0 - expected) ** 2 + (2.0 - expected) ** 2, rtol=1e-6)


@pytest.mark.parametrize("terminated", [False, True])
def test_sacs_targets_by_hand(terminated):
    """As above, with the entropy of a narrow Gaussian at tanh(0.5), whose mean is known."""
    env, log_std, weight = probes.tracking(), -10.0, 0.1
    policy = {"mean": jnp.asarray([0.5]), "log_std": jnp.asarray([log_std])}
    hypers = SACHypers(gamma=0.5, min_history=1.0, temperature=weight)
    agent = sac(env, SACConfig(**SMALL, batch_size=4096), numbers(policy, 1.0, 2.0), hypers)
    found = critic_loss(agent, terminated, (5.0, 3.0))
    mean = -0.5 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(0.5) ** 2)
    target = 10.0 if terminated else 10.0 + 0.5 * (3.0 - weight * mean)
    variance = 0.0 if terminated else (0.5 * weight) ** 2 * 0.5  # of half a squared normal
    expected = (1.0 - target) ** 2 + (2.0 - target) ** 2 + 2 * variance
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_the_target_is_the_minimum_over_a_random_subset_and_the_actor_climbs_the_mean():
    """REDQ: each number comes up as the least of a random pair; the actor climbs the mean."""
    values = jnp.asarray([[1.0, 2.0, 4.0], [4.0, 2.0, 1.0]])
    keys = jax.random.split(jax.random.key(0), 300)
    pairs = jax.jit(jax.vmap(lambda key: ensembles.subset_minimum(key, values, 2)))(keys)
    pairs, counts = np.unique(pairs, axis=0, return_counts=True)
    np.testing.assert_array_equal(pairs, [[1.0, 1.0], [1.0, 2.0], [2.0, 1.0]])  # one of a batch
    assert counts.min() > 60
    np.testing.assert_array_equal(ensembles.subset_minimum(keys[0], values, 0), [1.0, 1.0])
    np.testing.assert_allclose(ensembles.policy_value(values, 2), [7 / 3, 7 / 3], rtol=1e-6)
    np.testing.assert_array_equal(ensembles.policy_value(values, 0), [1.0, 1.0])
    env = make("Pendulum-v1")
    with pytest.raises(ValueError, match="critic_subset=3: the network has 2"):
        sac(env, SACConfig(critic_subset=3))


def test_td3s_noise_is_clipped_and_actions_stay_within_bounds():
    env = make("Pendulum-v1")
    hypers = TD3Hypers(exploration_noise=5.0, min_history=1.0)
    config = TD3Config(**SMALL, gradient_steps=2)
    agent = td3(env, config, numbers(jnp.asarray([3.0]), 0.0, 0.0), hypers)
    state = jax.jit(agent.init)(jax.random.key(0), hypers)
    noise, obs = agent.noise(jax.random.key(1), 1000), np.zeros((1000, 3), np.float32)
    act = jax.jit(agent.act, static_argnums=5)
    early = np.asarray(act(noise, hypers, state, (), obs, True)[1])
    assert early.min() < -1.8 and early.max() > 1.8 and abs(early.mean()) < 0.2  # uniform
    obs_of = np.zeros((8, 1, 3), np.float32)
    rollout = steps_of(8, True)._replace(obs=obs_of, next_obs=obs_of)
    state = jax.jit(agent.update)(jax.random.key(2), hypers, state, rollout)[0]
    late = np.asarray(act(noise, hypers, state, (), obs, True)[1])
    assert np.abs(late).max() == 2.0 and np.mean(late == 2.0) > 0.5
    greedy = act(noise, hypers, state, (), obs, False)[1]
    np.testing.assert_allclose(greedy, 2.0 * np.tanh(3.0), rtol=1e-3)


def two_actions(low, high):
    """A pendulum with a second dimension of the action, which does nothing."""
    env = make("Pendulum-v1")
    box = Box((2,), "float32", low, high)
    return env._replace(
        action=box, step=lambda key, params, state, action: env.step(key, params, state, action[:1])
    )


@pytest.mark.parametrize("build", [sac, pytest.param(td3, marks=pytest.mark.slow)])
def test_a_dimension_without_a_choice_stays_at_its_value(build):
    """It has no part in the log-probability, and the actor learns nothing about it."""
    env, gaussian = two_actions((-2.0, 0.3), (2.0, 0.3)), build is sac
    options = {"hidden": (8,), "deterministic": not gaussian}
    network = nets.actor_critics(env.observation, env.action, **options)
    config, hypers = (SACConfig, SACHypers) if gaussian else (TD3Config, TD3Hypers)
    sizes = {"num_envs": 4, "rollout_length": 4, "gradient_steps": 2, "policy_delay": 2}
    config = config(**sizes, batch_size=8, capacity=64)
    agent = build(env, config, network, hypers(min_history=1.0))
    init, _, train, *_ = make_train(agent, env, updates_per_call=2)
    key, clock = jax.random.key(0), Clock(np.int32(0), np.int32(2))

    @jax.jit
    def program(key):
        before = init(key, agent.hypers, env.params)
        run = train(key, agent.hypers, env.params, before, clock)[0]
        noise, obs = agent.noise(key, 8), jnp.zeros((8, 3))
        acts = (agent.act(noise, agent.hypers, run.agent, (), obs, x)[1] for x in (True, False))
        return before.agent.learner, run.agent.learner, tuple(acts)

    before, after, actions = jax.device_get(program(key))
    learner = [x for x in jax.tree.leaves(after) if x.dtype == np.float32]
    assert all(np.all(np.isfinite(x)) for x in learner)
    heads = [jax.tree.leaves(x.params["heads"]["actor"]) for x in (after, before)]
    for now, then in zip(*heads, strict=True):
        moved = np.any((now != then).reshape(-1, now.shape[-1]), axis=0)
        assert moved.tolist() == ([True, False] * 2 if gaussian else [True, False])
    for action in actions:
        np.testing.assert_array_equal(action[:, 1], np.float32(0.3))
        assert np.all(np.abs(action[:, 0]) < 2.0) and np.any(action[:, 0] != 0.0)


def test_the_probability_is_of_free_dimensions_alone():
    policy = nets.Gaussian(np.float32([[0.3, 9.0, -1.0]]), np.float32([[0.0, 1.0, -0.5]]))
    noise = np.float32([[0.5, -2.0, 0.7]])
    action, log_prob = jax.jit(nets.squashed((True, False, True)))(noise, policy)
    fewer = nets.Gaussian(policy.mean[:, ::2], policy.log_std[:, ::2])
    alone, expected = jax.jit(nets.squashed((True, True)))(noise[:, ::2], fewer)
    action = np.asarray(action)
    np.testing.assert_array_equal(action[:, ::2], alone)
    np.testing.assert_array_equal(action[:, 1], 0.0)
    np.testing.assert_allclose(log_prob, expected, 1e-6)


@pytest.mark.parametrize("build", [sac, td3])
@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ((-2.0, 1.0), (2.0, 0.0), "in dimension 1 of .*expected low <= high, got 1.0 and 0.0"),
        ((-np.inf, 0.0), (np.inf, 1.0), "in dimension 0 of .*got -inf and inf"),
        ((-2.0, 0.0), (2.0, np.nan), "in dimension 1 of .*got 0.0 and nan"),
        (0.5, 0.5, "needs a choice: .*got 0.5 and 0.5"),
    ],
)
def test_bounds_without_sense_are_refused(build, low, high, message):
    with pytest.raises(ValueError, match=message):
        build(two_actions(low, high))


def test_only_its_own_part_moves():
    """Steps of the critics alone move no actor and no target of TD3: one of two, with delay 2."""
    env = make("Pendulum-v1")
    network = nets.actor_critics(env.observation, env.action, hidden=(4,), deterministic=True)
    config = TD3Config(**SMALL, gradient_steps=4, batch_size=4)
    agent = td3(env, config, network, TD3Hypers(min_history=1.0))
    state = jax.jit(agent.init)(jax.random.key(0), agent.hypers)
    obs_of = np.zeros((8, 1, 3), np.float32)
    rollout = steps_of(8, False)._replace(obs=obs_of, next_obs=obs_of)
    after, _ = jax.jit(agent.update)(jax.random.key(1), agent.hypers, state, rollout)
    counts = {
        name: jax.tree.leaves(getattr(after.learner.opt_state, name), is_leaf=jnp.isscalar)
        for name in ("actor", "critic")
    }
    steps = {name: {int(x) for x in leaves if x.ndim == 0} for name, leaves in counts.items()}
    assert steps == {"actor": {2}, "critic": {4}} and after.steps == 4


@pytest.mark.parametrize("kind", ["sac", "td3"])
def test_observations_are_stored_as_they_come_and_shown_normalized(kind):
    """To the network in acting, and in batches, by the statistics of everything that was seen."""
    seen = []
    policy = {"mean": jnp.zeros(1), "log_std": jnp.zeros(1)} if kind == "sac" else jnp.zeros(1)
    bare = numbers(policy, 0.0, 0.0)

    def apply(params, obs, *rest, **named):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), obs)
        return bare.apply(params, obs, *rest, **named)

    network = bare._replace(apply=apply)
    env, sizes = probes.tracking(), SMALL | {"batch_size": 64, "normalize_observations": True}
    if kind == "sac":
        agent = sac(env, SACConfig(**sizes), network, SACHypers(min_history=1.0))
    else:
        agent = td3(env, TD3Config(**sizes), network, TD3Hypers(min_history=1.0))
    rows = np.float32([3.0, 5.0] * 4)[:, None, None]  # mean 4, deviation 1
    never = np.zeros((8, 1), bool)
    rollout = steps_of(8, True)._replace(obs=rows, next_obs=8.0 - rows, terminated=never)
    state = jax.jit(agent.init)(jax.random.key(0), agent.hypers)
    np.testing.assert_array_equal(jax.jit(agent.see)(state, rows), rows)  # nothing is known yet
    state, _ = jax.jit(agent.update)(jax.random.key(1), agent.hypers, state, rollout)
    jax.effects_barrier()
    found = np.unique(np.concatenate([np.ravel(x) for x in seen if len(x) == 64]))
    np.testing.assert_allclose(found, [-1.0, 1.0], atol=1e-5)
    np.testing.assert_array_equal(np.unique(np.asarray(state.replay.ring.obs)[:8]), [3.0, 5.0])
    seen.clear()
    act = jax.jit(agent.act, static_argnums=5)
    act(agent.noise(jax.random.key(2), 1), agent.hypers, state, (), jnp.full((1, 1), 50.0), False)
    jax.effects_barrier()
    np.testing.assert_allclose(seen[-1], 10.0)  # clipped


GAMMA = 0.5
SIZES = {"num_envs": 16, "rollout_length": 4, "gradient_steps": 16, "batch_size": 64}
QUICK = {"actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2, "gamma": GAMMA}
QUICK |= {"target_update_rate": 0.05, "min_history": 256.0}


def trained(kind, env, steps):
    """Two members and the function of their networks that judges actions f32[B] at obs f32[B]."""
    network = nets.actor_critics(
        env.observation, env.action, hidden=(32,), deterministic=kind == "td3"
    )
    sizes = SIZES | {"capacity": 8192}
    if kind == "td3":
        agent = td3(env, TD3Config(**sizes), network, TD3Hypers(**QUICK))
    else:
        # Almost no entropy: values are those of the task alone.
        still = {"temperature": 1e-3, "temperature_learning_rate": 1e-9}
        agent = sac(env, SACConfig(**sizes), network, SACHypers(**QUICK, **still))
    result = pjs.run(agent, env, seeds=2, steps=steps)

    def judge(obs, actions):
        rows = (np.asarray(x, np.float32)[:, None] for x in (obs, actions))

        def one(params, obs, action):
            return network.apply(params, obs, action=action)[0].values

        judged = jax.jit(jax.vmap(one, (0, None, None)))
        return judged(result.state().agent.learner.params, *rows)

    return result, judge


@pytest.mark.parametrize("kind", ["sac", pytest.param("td3", marks=pytest.mark.slow)])
def test_actions_and_their_values_are_learnt(kind):
    """The best action is the observation; Q(o, a) = -(a - o)^2."""
    result, judge = trained(kind, probes.tracking(), 150 * 64)
    assert result.evaluate(64).episode_return.min() > -0.02
    obs, actions = np.asarray([-0.5, 0.0, 0.5, 0.5]), np.asarray([-0.5, 0.5, 0.5, -0.3])
    expected = np.broadcast_to(-np.square(actions - obs)[:, None], (2, 4, 2))
    np.testing.assert_allclose(judge(obs, actions), expected, atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sac", "td3"])
def test_a_time_limit_is_not_an_end(kind):
    """Reward 1 for ever, cut every 3 steps: worth 1 / (1 - gamma) = 2, and not less."""
    one_step = probes.tracking()

    def init(key, params):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, params, state, action):
        now = one_step.step(key, params, jnp.zeros(1), action)[1]
        now = now._replace(reward=jnp.ones(()), terminated=jnp.zeros((), bool))
        return state + 1, now._replace(truncated=state + 1 == 3)

    env = one_step._replace(init=init, step=step, time_limit=3)
    judge = trained(kind, env, 150 * 64)[1]
    np.testing.assert_allclose(judge([0.0, 0.0], [-0.5, 0.5]), 2.0, atol=0.1)


def test_arguments_that_make_no_sense():
    env = make("Pendulum-v1")
    with pytest.raises(ValueError, match="sac needs continuous actions.*CartPole"):
        sac(make("CartPole-v1"))
    with pytest.raises(ValueError, match="needs finite bounds of actions"):
        td3(env._replace(action=Box((1,))))
    with pytest.raises(ValueError, match="policy_delay=2 must divide the 3 gradient steps"):
        sac(env, SACConfig(gradient_steps=3, policy_delay=2))
    deterministic = nets.actor_critics(env.observation, env.action, deterministic=True)
    with pytest.raises(ValueError, match="sac expects nets.actor_critics with a Gaussian policy"):
        sac(env, network=deterministic)
    with pytest.raises(ValueError, match="td3 expects nets.actor_critics with a deterministic"):
        td3(env, network=nets.actor_critics(env.observation, env.action))
    with pytest.raises(ValueError, match="expected one width of the 2 residual blocks"):
        nets.actor_critics(env.observation, env.action, blocks=2)
    with pytest.raises(ValueError, match="expected a Box with one axis"):
        nets.actor_critics(env.observation, make("CartPole-v1").action)
    with pytest.raises(ValueError, match="critics=0"):
        nets.actor_critics(env.observation, env.action, critics=0)
