"""Students: terms by hand, lambda and the learning rate, and what a student is without its teacher.

Bitwise equality holds as these tests compile, without the fusions in which XLA rounds otherwise.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared.students import (
    Inputs,
    Prior,
    ReincarnationHypers,
    weaned,
)
from purejaxrl_suite.core import check
from purejaxrl_suite.core.tree import Constant
from purejaxrl_suite.envs import probes
from tests.shared import drawn

ENV = probes.observation_action_reward()
CONFIG = pjs.DQNConfig(num_envs=2, rollout_length=4, batch_size=8, capacity=64, probe_size=8)
HYPERS = pjs.DQNHypers(min_history=8.0, learning_rate=1e-2)
METHODS = (
    pjs.qdagger(),
    pjs.kickstarting(),
    pjs.dqfd(),
    pjs.offline_pretraining(),
    pjs.rehearsal(),
    pjs.jsrl(),
)


def network(env, hidden=(4,)):
    return drawn(nets.q_network(env.observation, env.action, hidden=hidden, layer_norm=False))


def teacher():
    return pjs.dqn(ENV, CONFIG, network(ENV), HYPERS)


def build(method, **options):
    hypers = pjs.student_hypers(method, HYPERS, weaning=options.get("weaning", True))
    make = pjs.reincarnated(pjs.dqn, method, teacher(), **options)
    return make(ENV, CONFIG, network(ENV, (6,)), hypers)


def told(method, q, logits, action=(0, 1), **hypers):
    """The method's term and metrics for values and logits of the teacher, f32[B, A]."""
    q, logits = jnp.asarray(q, jnp.float32), jnp.asarray(logits, jnp.float32)
    inputs = Inputs(
        q,
        jnp.asarray(action),
        ReincarnationHypers(**hypers),
        lambda temperature: jax.nn.log_softmax(logits / temperature),
        lambda: jnp.argmax(logits, axis=-1),
    )
    return method.term(inputs)


Q, TAUGHT = [[1.0, 2.0, 0.0], [0.5, 0.0, 0.5]], [[0.0, 3.0, 1.0], [1.0, 1.5, -1.0]]


def test_the_divergence_is_that_of_the_teacher_from_the_student():
    p, q = (special.softmax(np.asarray(x) / 0.5, axis=-1) for x in (TAUGHT, Q))
    expected = special.rel_entr(p, q).sum(-1).mean()
    how = {"distillation_temperature": 0.5, "distillation_coefficient": 2.0}
    term, metrics = told(pjs.qdagger(), Q, TAUGHT, **how)
    np.testing.assert_allclose(metrics["teacher_kl"], expected, 1e-5)
    np.testing.assert_allclose(term, 2.0 * expected, 1e-5)
    shifted = told(pjs.qdagger(), Q, np.asarray(TAUGHT) + 7.0, **how)[0]
    np.testing.assert_allclose(shifted, term, 1e-5)
    assert abs(told(pjs.qdagger(), Q, np.asarray(Q) - 3.0)[0]) < 1e-6

    def loss(q, taught):
        return told(pjs.qdagger(), q, taught, **how)[0]

    student, theirs = jax.grad(loss, (0, 1))(jnp.asarray(Q), jnp.asarray(TAUGHT))
    assert not np.any(theirs)
    # d KL / d q is (student's - teacher's probability) / T, over the batch of 2.
    np.testing.assert_allclose(student, 2.0 * (q - p) / 0.5 / 2, 1e-4, 1e-6)
    never = [[0.0, -np.inf, 0.0], [0.0, 0.0, 0.0]]
    assert np.all(np.isfinite(jax.grad(loss)(jnp.asarray(Q), jnp.asarray(never))))


def test_margins_and_conservatism_by_hand():
    # The teacher takes action 1 in both. Violations are max(Q + 1 - Q_1, 0), 0 for action 1.
    violations = [[0.0, 0.0, 0.0], [1.5, 0.0, 1.5]]
    term, metrics = told(pjs.dqfd(), Q, TAUGHT, margin_coefficient=2.0)
    np.testing.assert_allclose(metrics["teacher_margin"], np.mean(violations))
    np.testing.assert_allclose(term, 2.0 * np.mean(violations))
    np.testing.assert_allclose(told(pjs.dqfd(original=True), Q, TAUGHT)[0], (0.0 + 1.5) / 2)
    scaled = np.asarray(Q) / 0.5
    expected = special.logsumexp(scaled, axis=-1) - scaled[[0, 1], [0, 1]]
    term, _ = told(pjs.offline_pretraining(), Q, TAUGHT, conservative_temperature=0.5)
    np.testing.assert_allclose(term, expected.mean(), 1e-6)


def prior(weaning=1.0, teacher=10.0, random=2.0):
    numbers = map(jnp.float32, (weaning, teacher, random, 0.0))
    return Prior(Constant(()), *numbers)


@pytest.mark.parametrize(
    ("now", "score", "then"),
    [(1.0, 2.0, 1.0), (1.0, 6.0, 0.5), (0.5, 4.0, 0.75), (0.5, 12.0, 0.0), (0.0, 2.0, 0.0)],
)
def test_lambda_follows_the_gap_and_stays_0_at_0(now, score, then):
    np.testing.assert_allclose(weaned(prior(now), jnp.float32(score)), then, 1e-6)


@pytest.mark.parametrize("teacher", [3.0, 2.0])
def test_teachers_no_better_than_random_wean_at_once(teacher):
    for score in (1.0, 3.0, 4.0):
        assert weaned(prior(1.0, teacher, 3.0), jnp.float32(score)) == 0.0


def updated(agent, weaning=None, **hypers):
    """The learner and its metrics after updates on made-up experience."""
    hypers = jax.tree.map(jnp.float32, agent.hypers._replace(**hypers))

    @jax.jit
    def run(key):
        state = agent.init(key, hypers)
        experience = check.experience(agent, key, hypers, state)
        if weaning is not None:
            state = state._replace(prior=state.prior._replace(weaning=jnp.float32(weaning)))
        state, _ = agent.update(key, hypers, state, experience)
        return agent.update(jax.random.fold_in(key, 1), hypers, state, experience)

    state, metrics = jax.device_get(run(jax.random.key(0)))
    return state, metrics


@cache
def plain():
    return updated(pjs.dqn(ENV, CONFIG, network(ENV, (6,)), HYPERS))[0].learner


@pytest.mark.parametrize(
    ("method", "weaning", "hypers"),
    [
        (pjs.qdagger(), 0.0, {"weaned_learning_rate": 1.0}),
        (pjs.jsrl(), None, {"guide_steps": 0.0}),
    ],
)
def test_without_its_teacher_a_student_is_the_plain_agent(method, weaning, hypers):
    state, metrics = updated(build(method), weaning, **hypers)
    jax.tree.map(np.testing.assert_array_equal, state.learner, plain())
    assert metrics["weaning" if method.weans else "guide_steps"] == 0.0


def test_the_learning_rate_falls_with_lambda_and_never_rises_above_its_own():
    """Adam's first step is as long as the learning rate, wherever there is a gradient."""
    agent = build(pjs.qdagger())
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    @jax.jit
    @jax.vmap
    def length(weaning):
        key = jax.random.key(0)
        state = agent.init(key, hypers)
        state = state._replace(prior=state.prior._replace(weaning=weaning))
        experience = check.experience(agent, key, hypers, state)
        after, _ = agent.update(key, hypers, state, experience)
        moved = jax.tree.map(jnp.subtract, after.learner.params, state.learner.params)
        return jnp.max(jnp.stack([jnp.max(jnp.abs(x)) for x in jax.tree.leaves(moved)]))

    lengths = length(jnp.asarray([0.0, 0.5, 1.0, 3.0]))
    np.testing.assert_allclose(lengths, [1e-3, 5.5e-3, 1e-2, 1e-2], 0.1)


def test_teachers_act_the_first_steps_of_episodes_and_never_in_evaluations():
    agent = build(pjs.jsrl())
    hypers = jax.tree.map(jnp.float32, agent.hypers._replace(epsilon=0.0))
    key, obs = jax.random.key(0), jax.random.normal(jax.random.key(1), (64, 1))
    state = agent.init(key, hypers)
    prior = state.prior._replace(guide_steps=jnp.float32(4.0))
    kept = jax.tree.map(lambda x: 0 * x, prior.teacher)
    state = state._replace(prior=prior._replace(teacher=kept))  # zeros: it always takes action 0

    def act(explore, state, memory, seed=2):
        noise = agent.noise(jax.random.key(seed), 64)
        return agent.act(noise, hypers, state, memory, obs, explore)

    memory, until, shown = agent.memory(64), None, []
    for step in range(4):
        memory, action, _ = act(True, state, memory, step)
        until = memory.until if until is None else until
        np.testing.assert_array_equal(memory.until, until)
        shown.append(np.mean(np.asarray(action)[np.asarray(step < until)] == 0))
    assert set(np.asarray(until).tolist()) == {1, 2, 3, 4}
    assert shown == [1.0] * 4, "the teacher acts"
    other = jax.tree.map(lambda x: x + 1.0, kept)
    perturbed = state._replace(prior=prior._replace(teacher=other))
    greedy = [act(False, one, agent.memory(64))[1] for one in (state, perturbed)]
    np.testing.assert_array_equal(*greedy)
    ended = agent.evaluated(hypers, state, {"evaluation_return": jnp.float32(0.0)})
    assert ended.prior.guide_steps == 3.0
    none = state._replace(prior=prior._replace(guide_steps=jnp.float32(0.5)))
    assert not np.any(act(True, none, agent.memory(64))[0].until)


def test_what_does_not_fit_is_refused():
    dqn, ppo = teacher(), pjs.ppo(ENV)
    recurrent = pjs.ppo(ENV, network=nets.actor_critic(ENV.observation, ENV.action, memory_units=4))
    other = pjs.dqn(probes.recall())
    cases = [
        (lambda: pjs.reincarnated(3, pjs.jsrl(), dqn), "builder: expected a function"),
        (lambda: pjs.reincarnated(pjs.dqn, "jsrl", dqn), "method: expected a Method, got 'jsrl'"),
        (lambda: pjs.reincarnated(pjs.dqn, pjs.jsrl(), 3), "teacher: expected an Agent, got 3"),
        (
            lambda: pjs.reincarnated(pjs.dqn, pjs.jsrl(), dqn, offline=True),
            "offline: expected False, as jsrl has no offline phase",
        ),
        (lambda: pjs.reincarnated(pjs.ppo, pjs.jsrl(), dqn)(ENV), "that of a value agent"),
        (
            lambda: pjs.reincarnated(pjs.dqn, pjs.jsrl(), recurrent)(ENV),
            "teacher: expected an agent without a memory",
        ),
        (
            lambda: pjs.reincarnated(pjs.dqn, pjs.jsrl(), other)(ENV),
            "teacher: expected an agent with the spaces of 'observation_action_reward'",
        ),
        (
            lambda: pjs.reincarnated(pjs.dqn, pjs.qdagger(), ppo, offline=True)(ENV),
            "teacher: expected one with a replay to learn from, got 'ppo'",
        ),
        (
            lambda: pjs.reincarnated(pjs.rainbow, pjs.rehearsal(), dqn)(ENV),
            "expected one with a uniform replay to rehearse in, got rainbow",
        ),
        (lambda: pjs.make_train(build(pjs.qdagger()), ENV), "evaluate_every: expected a number"),
    ]
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            wrong()
    assert build(pjs.qdagger(), weaning=False).evaluated is None
    assert "weaning_end" not in build(pjs.qdagger(), weaning=False).hypers._fields
