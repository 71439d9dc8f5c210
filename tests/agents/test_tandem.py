"""Two learners on one experience: the active one is DQN, the passive one learns as it is told."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.shared import passive
from purejaxrl_suite.agents.shared.passive import Both, Passive
from purejaxrl_suite.agents.tandem import TandemConfig, TandemHypers, fork, tandem
from purejaxrl_suite.buffers import Batch, uniform
from purejaxrl_suite.core import check
from purejaxrl_suite.core.types import Run, Transition
from purejaxrl_suite.envs import probes
from purejaxrl_suite.envs.multi_task import multi_task
from tests.agents.tables import table
from tests.shared import drawn

ENV = probes.delayed_reward()
NETWORK = drawn(nets.q_network(ENV.observation, ENV.action, hidden=(4, 3), layer_norm=False))
SIZES = {"num_envs": 2, "gradient_steps": 2, "batch_size": 4, "capacity": 64}
SOON = {"learning_rate": 1e-2, "min_history": 16.0, "target_update_period": 3.0}
HYPERS = jax.tree.map(jnp.float32, TandemHypers(**SOON))


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def differ(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(not np.array_equal(*pair) for pair in pairs)


def build(how=None, **config):
    return tandem(ENV, TandemConfig(**SIZES, **config), NETWORK, passive=how)


def trained(agent):
    """(state, hypers, rollouts [K, T, N]) -> (state after the updates, metrics of the last)."""

    @jax.jit
    def train(state, hypers, rollouts):
        def update(state, xs):
            return agent.update(xs[0], hypers, state, xs[1])

        keys = jax.random.split(jax.random.key(1), len(rollouts.reward))
        state, metrics = jax.lax.scan(update, state, (keys, rollouts))
        return state, jax.tree.map(lambda x: x[-1], metrics)

    return train


@pytest.fixture(scope="module")
def vanilla():
    """The agent, its training, an initial state, and rollouts for six updates."""
    agent = build()

    @jax.jit
    def start(key):
        state = agent.init(key, HYPERS)
        made = partial(check.experience, agent, hypers=HYPERS, state=state)
        return state, jax.vmap(lambda key: made(key))(jax.random.split(key, 6))

    return agent, trained(agent), *start(jax.random.key(0))


def alike(state):
    """The state with a passive learner that is a copy of the active one."""
    twin = state.passive._replace(learner=state.learner, target=state.target)
    return state._replace(passive=twin)


def test_the_active_learner_is_dqn_alone_to_the_bit(vanilla):
    _, train, state, rollouts = vanilla
    plain = dqn(ENV, DQNConfig(**SIZES, double=True, huber=True), NETWORK)
    alone = jax.jit(plain.init)(jax.random.key(0), DQNHypers(**SOON))
    equal(alone, type(alone)(**{name: getattr(state, name) for name in alone._fields}))
    assert differ(state.learner, state.passive.learner)
    alone, known = trained(plain)(alone, DQNHypers(**SOON), rollouts)
    after, metrics = train(state, HYPERS, rollouts)
    equal(alone, type(alone)(**{name: getattr(after, name) for name in alone._fields}))
    equal(known, {name: metrics[name] for name in known})
    more = {"td_loss", "q_value", "gradient_norm"}
    assert metrics.keys() - known.keys() == {f"passive_{name}" for name in more} | {"disagreement"}
    assert differ(state.passive, after.passive) and 0.0 <= metrics["disagreement"] <= 1.0


def test_equal_learners_stay_equal_to_the_bit_and_batches_are_the_same(vanilla):
    """Of other batches, or with a gradient through the other one, they would not."""
    _, train, state, rollouts = vanilla
    after, metrics = train(alike(state), HYPERS, rollouts)
    equal(after.learner, after.passive.learner)
    equal(after.target, after.passive.target)
    equal(after.learner, train(state, HYPERS, rollouts)[0].learner)
    assert metrics["disagreement"] == 0.0 and metrics["passive_td_loss"] == metrics["td_loss"]
    other = train(alike(state), HYPERS._replace(passive_recent=jnp.float32(0.3)), rollouts)[0]
    equal(after.learner, other.learner)
    assert differ(after.passive.learner, other.passive.learner)


def test_a_frozen_active_learner_stays_and_the_passive_one_learns(vanilla):
    _, train, state, rollouts = vanilla
    frozen = HYPERS._replace(active_rate=jnp.float32(0.0))
    after, _ = train(state, frozen, rollouts)
    equal(after.learner.params, state.learner.params)
    assert differ(after.passive.learner.params, state.passive.learner.params)


def check_tied(state):
    ours, its = state.learner.params, state.passive.learner.params
    equal(ours["trunk"], its["trunk"])
    assert differ(ours["heads"], its["heads"])


TIED = {"tied_layers": 2, "passive_steps": 2}


def test_tied_layers_leave_only_the_output_layer_apart(vanilla):
    start = jax.jit(build(**TIED).init)(jax.random.key(0), HYPERS)
    equal(start.learner, vanilla[2].learner)
    check_tied(start)
    equal(start.passive.target, start.passive.learner.params)


@pytest.mark.slow
def test_layers_stay_tied(vanilla):
    *_, state, rollouts = vanilla
    check_tied(trained(build(**TIED))(state, HYPERS, rollouts)[0])


@pytest.mark.slow
def test_own_data_from_none_of_it_to_all(vanilla):
    """A batch without any is the active learner's; with nothing else it is a learner of its own."""
    _, train, state, rollouts = vanilla
    agent = build(own_data=True)
    assert agent.num_envs == 4
    learn, start = trained(agent), jax.jit(agent.init)(jax.random.key(0), HYPERS)
    none, whole = (HYPERS._replace(own_fraction=jnp.float32(x)) for x in (0.0, 1.0))

    def both(first, second):
        """Rollouts of four environments: those of the active learner, and every second one."""
        pairs = jax.tree.map(lambda *x: jnp.stack(x, axis=3), first, second)
        return jax.tree.map(lambda x: x.reshape(*x.shape[:2], 4, *x.shape[4:]), pairs)

    negative = rollouts._replace(reward=-rollouts.reward)
    found = learn(start, none, both(rollouts, negative))[0]
    expected = train(state, HYPERS, rollouts)[0]
    equal(found.passive.learner, expected.passive.learner)
    equal(found.learner, expected.learner)
    own = learn(alike(start), whole, both(negative, rollouts))[0]
    equal(own.passive.learner, expected.learner)
    assert differ(own.learner, expected.learner)


def test_each_learner_acts_by_its_own_values():
    agent = tandem(ENV, TandemConfig(**SIZES, own_data=True), table([2.0, 1.0]))
    state = jax.eval_shape(agent.init, jax.random.key(0), HYPERS)
    state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)
    learners = [state.learner._replace(params={"heads": {"q": jnp.float32(q)}}) for q in Q]
    second = state.passive._replace(learner=learners[1])
    ring = state.replay._replace(filled=np.int32(32))
    state = state._replace(learner=learners[0], passive=second, replay=ring)
    noise, hypers = agent.noise(jax.random.key(0), 4), HYPERS._replace(epsilon=jnp.float32(0.0))

    @jax.jit
    def chosen(state):
        acts = (agent.act, False), (agent.policies["passive"], False), (agent.act, True)
        return [act(noise, hypers, state, (), jnp.zeros((4, 1)), x)[1] for act, x in acts]

    found = np.asarray(chosen(state)).tolist()
    assert found == [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]]


Q = [2.0, 1.0], [1.0, 2.0]
"""Values of the active learner, and of the passive one, for every observation."""


def rule_of(how: Passive, atoms=0):
    network = table(jnp.zeros((2, atoms)) if atoms else jnp.zeros(2))
    own = table(jnp.zeros(2))

    def active_q(hypers, params, obs, chance):
        return own.apply(params, obs)[0]

    return how.rule(network, active_q)


def of(q):
    return {"heads": {"q": jnp.float32(q)}}


def test_targets_are_swapped_by_hand():
    """Own: target values (5, 7), it prefers 1. The active one's: (3, 11), it prefers 0."""
    online, target = Both(of([1, 2]), of([2, 1])), Both(of([5, 7]), of([3, 11]))
    batch = batch_of(reward=1.0, discount=0.5)
    swaps = {(False, False): 7.0, (False, True): 5.0, (True, False): 11.0, (True, True): 3.0}

    @jax.jit
    def found(*known):
        rules = [rule_of(passive.bootstrapped(*swap)) for swap in swaps]
        return [rule.targets(None, None, *known) for rule in rules]

    expected = [[1.0 + 0.5 * x] for x in swaps.values()]
    np.testing.assert_array_equal(found(online, target, batch), expected)


def batch_of(reward, discount):
    """One transition whose value counts by the discount."""
    zero, no = np.zeros((1, 1), np.float32), np.zeros(1, bool)
    return Batch(
        obs=zero,
        action=np.zeros(1, np.int32),
        reward=np.float32([reward]),
        discount=np.float32([discount]),
        next_obs=zero,
        terminated=no,
        truncated=no,
        steps=np.ones(1, np.int32),
        weight=np.ones(1, np.float32),
        slot=np.zeros(1, np.int32),
        extras={},
    )


def filled(rewards, terminated, truncated):
    """A replay of eight rows after these steps, whose action is 1 at odd steps."""
    sizes = {"capacity": 8, "num_envs": 1, "rollout_length": 1, "time_limit": 2}
    replay = uniform(ENV.observation, ENV.action, **sizes)
    ring, add = jax.jit(replay.init)(), jax.jit(replay.add)
    for i, reward in enumerate(rewards):
        obs = np.full((1, 1, 1), i, np.float32)
        ends = [np.full((1, 1), x[i]) for x in (terminated, truncated)]
        action, reward = np.full((1, 1), i % 2, np.int32), np.full((1, 1), reward, np.float32)
        ring = add(ring, Transition(obs, action, reward, *ends, obs + 1, {}))
    return replay, ring


def targets_of(how, online, target, batch):
    return jax.jit(partial(rule_of(how).targets, None, None))(online, target, batch)


def test_a_sarsa_pair_never_spans_an_end():
    """Two-step episodes, the first terminated, the second cut; then one that goes on."""
    ended = [False, True, False, False, False, False]
    cut = [False, False, False, True, False, False]
    replay, ring = filled([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], ended, cut)
    how = passive.sarsa()
    batch = jax.jit(partial(how.read, replay))(ring, np.arange(5), 1, 0.5)
    np.testing.assert_array_equal(batch.weight, [1, 1, 1, 0, 1])
    following = np.asarray(batch.extras["next_action"])
    np.testing.assert_array_equal(following[[0, 2, 4]], [1, 1, 1])
    # Own target values (10, 20); the terminated step has none.
    target = Both(of([10, 20]), of([0, 0]))
    found = np.asarray(targets_of(how, target, target, batch))
    np.testing.assert_array_equal(found[[0, 1, 2, 4]], [11.0, 2.0, 13.0, 15.0])


def test_monte_carlo_returns_are_of_whole_episodes():
    """Steps 8 and 9 have taken the rows of steps 0 and 1; those from 7 on are not over."""
    ended = [False] * 10
    ended[4], cut = True, [i == 6 for i in range(10)]
    replay, ring = filled([1.0] * 10, ended, cut)
    how = passive.monte_carlo(steps=3)
    slots = np.asarray([2, 3, 4, 5, 6, 7, 0, 1])
    batch = jax.jit(partial(how.read, replay))(ring, slots, 1, 0.5)
    np.testing.assert_array_equal(batch.weight, [1, 1, 1, 0, 0, 0, 0, 0])
    found = np.asarray(targets_of(how, None, None, batch))
    np.testing.assert_array_equal(found[:3], [1.75, 1.5, 1.0])
    shorter = jax.jit(partial(passive.monte_carlo(2).read, replay))(ring, slots, 1, 0.5)
    np.testing.assert_array_equal(shorter.weight[:3], [0, 1, 1])


def test_regression_and_quantiles_by_hand():
    """Half of the mean over actions of 1 and 9; quantiles of its own target network."""
    batch = batch_of(reward=1.0, discount=0.5)

    @partial(jax.jit, static_argnums=0)
    def losses(rule, both, params):
        goal = rule.targets(None, None, both, both, batch)
        return goal, rule.errors(None, None, params, batch, goal, None).losses

    active = Both(of([9, 9]), of([4, 6]))
    assert losses(rule_of(passive.regression()), active, of([5, 3]))[1] == 0.5 * (1 + 9) / 2
    own = Both(of([[0, 0], [2, 6]]), of([9, 9]))
    goal, found = losses(rule_of(passive.quantiles(2), atoms=2), own, of([[2, 3], [0, 0]]))
    np.testing.assert_array_equal(goal, [[2.0, 4.0]])
    # Kappa is 1: errors (0, 2), (-1, 1) at fractions .25 and .75.
    np.testing.assert_allclose(found, [(0.25 * 1.5) / 2 + (0.25 * 0.5 + 0.75 * 0.5) / 2], 1e-6)


def test_the_gradient_is_the_error_clipped_to_1_divided_by_the_batch():
    errors, batch = np.float32([-3.0, -0.5, 0.0, 0.25, 7.0]), batch_of(reward=0.0, discount=0.0)
    rule = rule_of(passive.bootstrapped())

    def of_one(error):  # the table is the value of any observation
        params = {"heads": {"q": jnp.stack([error, 0.0])}}
        return rule.errors(None, None, params, batch, 0.0, None).losses[0]

    found = jax.jit(jax.grad(lambda errors: jnp.mean(jax.vmap(of_one)(errors))))(errors)
    np.testing.assert_allclose(found, np.clip(errors / 5, -1 / 5, 1 / 5), 1e-6)


def test_a_fork_copies_the_active_learner_and_goes_on(vanilla):
    *_, state, _ = vanilla
    nothing = {name: () for name in Run._fields}
    before = Run(**nothing | {"agent": state, "env": np.ones(3), "intervention": np.ones(2)})
    untrained = jax.tree.map(np.zeros_like, state)
    fresh = Run(**nothing | {"agent": untrained, "env": np.zeros(3)})
    found = fork(jax.random.key(0), before, fresh)
    equal(found.agent, alike(state))
    assert found.intervention == () and np.all(found.env == 1.0)
    still = fork(jax.random.key(0), before, fresh._replace(env=()))
    equal(still, fresh._replace(env=(), agent=alike(state)))


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"tied_layers": 3}, "tied_layers: expected at most the 2 hidden layers of the network"),
        ({"passive_steps": 0}, "passive_steps"),
    ],
)
def test_what_makes_no_sense_is_refused(config, match):
    with pytest.raises(ValueError, match=match):
        build(**config)


def test_layers_that_differ_are_not_tied():
    def other(observation, action):
        return nets.q_network(observation, action, hidden=(4, 5), layer_norm=False)

    how = passive.bootstrapped()._replace(network=other)
    build(how, tied_layers=1)
    with pytest.raises(ValueError, match=r"tied_layers: expected trunk/dense_1/kernel \(4, 3\)"):
        build(how, tied_layers=2)


def test_own_data_is_of_one_task():
    env = multi_task([probes.action_reward(), probes.observation_action_reward()])
    with pytest.raises(ValueError, match="own_data: expected one task"):
        tandem(env, TandemConfig(num_envs=2, own_data=True))
