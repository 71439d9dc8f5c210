"""Sparse agents: masks hold at every step, are renewed on the clock, and cost nothing when off."""

import pickle
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, plasticity, sparsity
from purejaxrl_suite.core import argument, tree
from purejaxrl_suite.core.check import check_agent, check_gradients, experience
from purejaxrl_suite.core.inspection import inspect_agent
from purejaxrl_suite.core.types import Clock, Inspection, Learner
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sparsity.hypers import read_by
from purejaxrl_suite.sparsity.optimizer import (
    Masked,
    dense_params,
    masked_network,
    masked_optimizer,
    masks_of,
    patient_optimizer,
    second_moments,
    wait,
    with_masks,
)
from tests.contract.agents import AGENTS, VARIANTS
from tests.contract.test_interventions import INTERVENTIONS

BUILDERS = {name: getattr(pjs, name) for name in ("ppo", "pqn", "dqn", "sac", "td3", "rainbow")}
PUBLIC = [getattr(pjs, name) for name in pjs.__all__ if name.islower()]
OF_CONFIG = {
    known["config"]: build
    for build in PUBLIC
    if callable(build) and "config" in (known := argument.declared(build))
}
"""{type of a Config: builder}, of every agent."""
UPDATERS = {
    "no_prune": sparsity.no_prune,
    "static": sparsity.static,
    "magnitude": sparsity.magnitude,
    "random": sparsity.random,
    "saliency": sparsity.saliency,
    "adam_fisher": sparsity.adam_fisher,
    "global_magnitude": sparsity.global_magnitude,
    "global_saliency": sparsity.global_saliency,
    "magnitude_ste": sparsity.magnitude_ste,
    "random_ste": sparsity.random_ste,
    "ac_dc": sparsity.ac_dc,
    "set": sparsity.sparse_evolutionary,
    "rigl": sparsity.rigl,
}


@cache
def plain(name):
    make_agent, make_env = AGENTS[name]
    env = make_env()
    return make_agent(env), env


def sparse_agent(name, updater, **options):
    """A small agent of the contract's list, and its environment."""
    agent, env = plain(name)
    network = agent.network if agent.model is None else agent.model
    if updater.score is not None:
        options = {"period": agent.gradient_steps} | options
    build = pjs.sparse(OF_CONFIG[type(agent.config)], updater, **options)
    return build(env, agent.config, network, agent.hypers), env


def training(agent, env, updates=12, **how):
    """(hypers, keys) -> states after each update, leaves [updates, seeds, ...], and rows."""
    train = make_train(agent, env, **how)

    def member(hypers, key):
        def step(run, i):
            run, row = train.update(key, hypers, env.params, run, Clock(i, updates))
            return run, (tree.without_replay(run.agent)[0], row)

        run = train.init(key, hypers, env.params)
        return jax.lax.scan(step, run, jnp.arange(updates))[1]

    return jax.jit(jax.vmap(member, (None, 0), out_axes=1))


def trained(agent, train, **hypers):
    """States after each update of two seeds, with these hypers, and rows."""
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    return train(jax.tree.map(jnp.float32, agent.hypers._replace(**hypers)), keys)


@cache
def rigl_dqn(reset_count=False):
    """DQN with RigL and its training, one program for several tests."""
    agent, env = sparse_agent("dqn", sparsity.rigl(), reset_count=reset_count)
    return agent, training(agent, env)


def outside(masks, params):
    """The largest parameter outside of masks."""
    pairs = zip(jax.tree.leaves(masks), jax.tree.leaves(params), strict=True)
    return max(float(np.max(np.where(m, 0, np.abs(p)), initial=0)) for m, p in pairs)


def bare(opt_state):
    """The state of the optimizer inside."""
    return jax.tree.map(
        lambda node: node.inner if isinstance(node, Masked) else node,
        opt_state,
        is_leaf=lambda node: isinstance(node, Masked),
    )


@pytest.mark.parametrize(
    "name", ["dqn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pqn", "sac"))]
)
def test_sparsity_zero_is_the_agent_itself(name):
    agent, env = plain(name)
    dense, rows = trained(agent, training(agent, env))
    if name == "dqn":
        sparse, train = rigl_dqn()
    else:
        sparse, env = sparse_agent(name, sparsity.rigl())
        train = training(sparse, env)
    found, sparse_rows = trained(sparse, train, sparsity=0.0)
    learner = found.learner._replace(opt_state=bare(found.learner.opt_state))
    equal = partial(jax.tree.map, np.testing.assert_array_equal)
    equal(found._replace(learner=learner), dense)
    equal({name: sparse_rows[name] for name in rows}, rows)
    assert np.all(sparse_rows["mask_sparsity"] == 0)


@pytest.mark.parametrize("method", [pytest.param("set", marks=pytest.mark.slow), "rigl"])
def test_masks_hold_at_every_step_and_keep_their_number(method):
    if method == "rigl":
        agent, train = rigl_dqn()
    else:
        agent, env = sparse_agent("dqn", UPDATERS[method]())
        train = training(agent, env)
    state, rows = trained(agent, train, sparsity=0.75)
    masks = hold(state, rows)
    assert np.all(np.nansum(rows["mask_churn"], axis=0) > 0)
    # Members draw masks of their own.
    first = jax.tree.map(lambda mask: mask[0], masks)
    assert not all(np.array_equal(mask[0], mask[1]) for mask in jax.tree.leaves(first))


def hold(state, rows):
    """Masks after each update, all of equal sparsity, and parameters are zero outside of them."""
    masks = masks_of(state.learner)
    assert outside(masks, state.learner.params) == 0
    assert len(set(np.ravel(rows["mask_sparsity"]))) == 1
    return masks


def test_pruning_is_nested_and_reaches_its_target():
    agent, env = sparse_agent("pqn", sparsity.magnitude())
    how = {"sparsity": 0.8, "sparsity_start": 0.25, "sparsity_end": 0.75}
    state, rows = trained(agent, training(agent, env), **how)
    masks = masks_of(state.learner)
    assert outside(masks, state.learner.params) == 0
    for mask in jax.tree.leaves(masks):
        assert not np.any(mask[1:] & ~mask[:-1])
    level = rows["mask_sparsity"][:, 0]
    assert np.all(level[:2] == 0) and np.all(np.diff(level) >= 0)
    assert level[8] == level[-1] == pytest.approx(0.8, abs=0.02)


@pytest.mark.slow
def test_the_target_is_in_force_in_the_end_whatever_the_period():
    """Of 12 updates masks are renewed after 5, 10 and the last; pruning ends with the 11th."""
    agent, env = sparse_agent("pqn", sparsity.magnitude(schedule=sparsity.cubic(1)), period=20)
    how = {"sparsity": 0.8, "sparsity_start": 0.0, "sparsity_end": 11 / 12}
    _, rows = trained(agent, training(agent, env), **how)
    np.testing.assert_array_equal(np.flatnonzero(rows["mask_churn"][:, 0] >= 0), [4, 9, 11])
    assert rows["mask_sparsity"][-1, 0] == pytest.approx(0.8, abs=0.02)


def test_what_the_agent_inside_needs_is_kept():
    env = plain("dqn")[1]
    phasic = pjs.ppg(env, pjs.PPGConfig(policy_phases=7))
    assert pjs.sparse(pjs.ppg, sparsity.static())(env, phasic.config).least_updates == 7
    guided = AGENTS["dqn-guided"][0](env)
    assert guided.initial == ("guide_steps",)
    method, teacher = pjs.jsrl(), plain("dqn")[0]
    build = pjs.sparse(pjs.reincarnated(pjs.dqn, method, teacher), sparsity.static())
    made = build(env, teacher.config, teacher.network)
    assert made.initial == ("guide_steps", "sparsity")


@pytest.mark.parametrize("reset_count", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_grown_weights_and_their_moments_are_zero(reset_count):
    learner = trained(*rigl_dqn(reset_count), sparsity=0.5, drop_fraction=0.9)[0].learner
    adam, masks = bare(learner.opt_state)[0], masks_of(learner)
    counts = np.zeros((11, 2), int)
    for mask, *rest in zip(*map(jax.tree.leaves, (masks, *learner[:1], *adam[1:])), strict=True):
        grown = mask[1:] & ~mask[:-1]
        counts += np.sum(grown, axis=tuple(range(2, grown.ndim)))
        assert all(np.all(x[1:][grown] == 0) for x in rest)
    assert np.sum(counts) > 0
    if reset_count:
        np.testing.assert_array_equal(adam.count[1:][counts > 0], 0)


def test_a_step_that_is_left_out_changes_nothing_by_hand():
    """Momentum 0.5: -1 of the first step; nothing in the second; then -(1 + 0.5) in the third."""
    params = {"kernel": jnp.array([[2.0, 3.0]]), "bias": jnp.array([1.0])}
    masks = {"kernel": jnp.array([[True, False]]), "bias": jnp.array([True])}
    optimizer = patient_optimizer(masked_optimizer(optax.sgd(1.0, momentum=0.5), False))
    learner = with_masks(masks, Learner(params, optimizer.init(params)))
    grads, found = jax.tree.map(jnp.ones_like, params), []
    for waits in (False, True, False):
        learner = wait(learner, jnp.asarray(waits))
        updates, opt_state = optimizer.update(grads, learner.opt_state, learner.params)
        learner = Learner(optax.apply_updates(learner.params, updates), opt_state)
        found.append([float(learner.params["bias"][0]), *learner.params["kernel"][0].tolist()])
    assert found == [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [-1.5, -0.5, 0.0]]
    assert learner.opt_state.inner.steps == 2


@pytest.mark.slow
def test_new_masks_take_the_place_of_a_step_as_released():
    """Of four steps behind new masks Adam makes three, but where no weight is to be replaced."""
    agent, env = sparse_agent("dqn", sparsity.rigl(), as_released=True)
    train = training(agent, env)
    plain = trained(*rigl_dqn(), sparsity=0.5)[0].learner
    for end, few in (1.0, 3), (0.0, 4):
        state, rows = trained(agent, train, sparsity=0.5, sparsity_end=end)
        hold(state, rows)
        count = bare(state.learner.opt_state.inner)[0].count[:, 0]
        steps = bare(plain.opt_state)[0].count[:, 0]
        began = np.flatnonzero(steps)[0]
        np.testing.assert_array_equal(count[: began + 1], steps[: began + 1])
        np.testing.assert_array_equal(np.diff(count)[began:], few)


def test_straight_through_gradients_by_hand():
    """y = b a 5: a is masked, so y is 0, and moves all the same, by dy/da = b 5."""
    params = {"a": {"kernel": jnp.array([[2.0]])}, "b": {"kernel": jnp.array([[3.0]])}}
    masks = {"a": {"kernel": jnp.array([[False]])}, "b": {"kernel": jnp.array([[True]])}}
    optimizer = masked_optimizer(optax.sgd(0.1), straight_through=True)
    learner = with_masks(masks, Learner(params, optimizer.init(params)))
    assert learner.params["a"]["kernel"] == 0

    def loss(params):
        y = params["b"]["kernel"] * params["a"]["kernel"] * 5.0
        return jnp.sum(y - 1.0)

    grads = jax.grad(loss)(learner.params)
    updates, opt_state = optimizer.update(grads, learner.opt_state, learner.params)
    after = Learner(optax.apply_updates(learner.params, updates), opt_state)
    # dL/da = 3 * 5, and dL/db = 0 * 5: the forward pass saw 0.
    assert after.params["a"]["kernel"] == 0 and after.params["b"]["kernel"] == 3
    everything = jax.tree.map(jnp.ones_like, masks)
    assert with_masks(everything, after).params["a"]["kernel"] == pytest.approx(2.0 - 0.1 * 15)


def test_what_a_network_does_to_its_parameters_it_does_to_dense_ones():
    """Kernels of 4 inputs are kept within 1 / 2, also where masks hide them."""
    network = plasticity.weight_clipping(nets.q_network(pjs.Box((4,)), pjs.Discrete(2)), 1.0)
    network = masked_network(network, straight_through=True)

    @jax.jit
    def hidden(key):
        params, optimizer = network.init(key), network.constrain(optax.sgd(1.0))
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, bool), params)
        learner = with_masks(nothing, Learner(params, optimizer.init(params)))
        grads = jax.tree.map(jnp.ones_like, params)
        learner = learner._replace(opt_state=optimizer.update(grads, *learner[::-1])[1])
        return dense_params(learner)["trunk"]["dense_0"]["kernel"]

    assert np.max(np.abs(hidden(jax.random.key(0)))) == 0.5


@pytest.mark.slow
def test_injection_into_a_sparse_network_changes_no_output():
    network = nets.q_network(pjs.Box((4,)), pjs.Discrete(2), hidden=(8,))
    network = plasticity.injectable(network, parts=("heads",))
    network = masked_network(network, straight_through=False)
    none = lambda *_: None  # noqa: E731
    look = Inspection(network, none, none, none, none, samples=1)  # type: ignore[arg-type]

    @jax.jit
    def outputs(key):
        params, optimizer = network.init(key), network.constrain(optax.sgd(1.0))
        masks = sparsity.initial_masks(sparsity.static(), key, params, jnp.float32(0.5))
        learner = with_masks(masks, Learner(params, optimizer.init(params)))
        clock = Clock(jnp.int32(0), jnp.int32(1))
        injected = network.project(plasticity.inject().apply(key, clock, (), learner, look)[0])
        return [network.apply(one.params, jnp.ones((1, 4)))[0] for one in (learner, injected)]

    np.testing.assert_array_equal(*outputs(jax.random.key(0)))


KERNEL = np.asarray([[True, False, True], [False, True, True]])
OTHERS = {"kernel": True, "bias": False}, {"kernel": "one", "bias": "two"}
OPTIMIZERS = {
    "adam": optax.adam(0.1),
    "injected": optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "masked": optax.masked(optax.adam(0.1), OTHERS[0]),
    "several": optax.multi_transform({"one": optax.adam(0.1), "two": optax.sgd(0.1)}, OTHERS[1]),
    "rmsprop": optax.rmsprop(0.1, decay=0.999),
}


@pytest.mark.parametrize(
    "name", [n if n == "injected" else pytest.param(n, marks=pytest.mark.slow) for n in OPTIMIZERS]
)
def test_moments_in_masks_whatever_state_an_optimizer_has(name):
    """Two steps in the first masks, then in others, one that is left out and one more.

    Of gradients 1 with a decay of 0.999 the second moments are 0.001 a step: 3 steps of weights in
    both masks, 2 of those in the first, and 1 of those that have grown.
    """
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    optimizer = patient_optimizer(masked_optimizer(OPTIMIZERS[name], False))
    masks = {"kernel": KERNEL, "bias": np.ones(3, bool)}
    others = {"kernel": ~KERNEL | np.eye(2, 3, dtype=bool), "bias": np.ones(3, bool)}
    grown = {"kernel": others["kernel"] & ~KERNEL, "bias": np.zeros(3, bool)}

    @jax.jit
    def moments(params):
        learner = with_masks(masks, Learner(params, optimizer.init(params)))
        for i in range(4):
            if i == 2:
                learner = tree.forget(learner, grown, reset_count=True)
                learner = wait(with_masks(others, learner), jnp.ones((), bool))
            grads = jax.tree.map(jnp.ones_like, params)
            updates, state = optimizer.update(grads, learner.opt_state, learner.params)
            learner = Learner(optax.apply_updates(learner.params, updates), state)
        return learner.params["kernel"], second_moments(learner)["kernel"]

    kernel, found = moments(params)
    steps = 2 * KERNEL + others["kernel"]
    np.testing.assert_allclose(found, 0.001 * steps, rtol=2e-3)
    np.testing.assert_array_equal(kernel != 0, others["kernel"])


@pytest.mark.slow
def test_masks_move_where_an_injectable_network_learns():
    """Before the injection in its base, and from then on in the fresh copy alone."""
    agent, env = plain("dqn")
    network = plasticity.injectable(agent.network)
    build = pjs.sparse(pjs.dqn, sparsity.rigl(), period=agent.gradient_steps)
    agent = build(env, agent.config, network, agent.hypers)
    once = plasticity.once(6, plasticity.inject())
    train = training(agent, env, intervention=once)
    state, rows = trained(agent, train, sparsity=0.5, sparsity_end=1.0, drop_fraction=0.9)
    masks = hold(state, rows)
    on = np.asarray(state.learner.params["aux"]["injection"]["on"])[:, 0] > 0
    last = np.argmax(on)
    assert 0 < last < 11

    def still(part):
        kernel = np.asarray(tree.at(masks, part)["trunk"]["dense_0"]["kernel"])
        return [np.array_equal(x, kernel[i]) for x, i in ((kernel[0], last), (kernel[-1], last))]

    assert still(()) == [False, True]
    assert still(("aux", "injection", "new")) == [True, False]


def test_nothing_is_sorted():
    agent, train = rigl_dqn()
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    text = train.lower(jax.tree.map(jnp.float32, agent.hypers), keys).as_text()
    assert "stablehlo.while" in text
    assert "stablehlo.sort" not in text and "top_k" not in text


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rigl", "magnitude_ste"])
def test_every_metric_and_intervention_of_plasticity_works_under_masks(method):
    agent, env = sparse_agent("dqn", UPDATERS[method]())
    metrics = (*plasticity.CHEAP, *plasticity.COSTLY, sparsity.layer_sparsity)
    metrics = plasticity.record(*metrics, sparsity.gradient_signal_to_noise)
    everything = plasticity.chain(metrics, sparsity.mask_overlap(), *INTERVENTIONS)
    state, rows = trained(agent, training(agent, env, intervention=everything), sparsity=0.5)
    learner = state.learner
    assert outside(masks_of(learner), learner.params) == 0
    layers = [edge.layer.replace("/", ".") for edge in agent.network.wiring]
    for metric in ("dormant_0.1", "srank", "feature_norm", "nullspace_ratio", "sparsity"):
        for layer in layers:
            assert np.all(np.isfinite(rows[f"{metric}.{layer}"])), metric
    names = ("weight_norm", "entk_rank", "mask_overlap", "effective_parameters", "policy_churn")
    for name in names:
        assert np.all(np.isfinite(rows[name])), name
    kept = sum(np.sum(x, axis=tuple(range(2, x.ndim))) for x in jax.tree.leaves(masks_of(learner)))
    np.testing.assert_array_equal(rows["effective_parameters"], kept)


@pytest.mark.parametrize("at_once", [pytest.param(False, marks=pytest.mark.slow), True])
def test_targets_forget_slowly_or_at_once(at_once):
    agent, env = sparse_agent("dqn", sparsity.magnitude(), mask_targets=at_once)
    pruned = {"sparsity": 0.8, "sparsity_start": 0.0, "sparsity_end": 0.4}
    follow = {"target_update_period": 1.0, "target_update_rate": 0.1}
    state = trained(agent, training(agent, env), **pruned, **follow)[0]
    # Masks are made after the steps of an update, and a copy follows with the next one.
    assert (outside(masks_of(state.learner), state.target) == 0) == at_once


def test_pruned_weights_of_noisy_layers_have_no_noise():
    env = plain("dqn")[1]
    network = nets.q_network(env.observation, env.action, hidden=(6,), noisy=True)
    params = network.init(jax.random.key(0))
    masks = sparsity.initial_masks(sparsity.static(), jax.random.key(1), params, 0.5)
    layer = masks["trunk"]["dense_0"]
    assert not np.all(layer["kernel"]) and np.all(layer["bias_sigma"])
    np.testing.assert_array_equal(layer["kernel_sigma"], layer["kernel"])


def test_what_an_intervention_redraws_is_masked_again():
    agent, env = sparse_agent("dqn", sparsity.static())
    redo = plasticity.redo(0.9)
    state, rows = trained(agent, training(agent, env, intervention=redo))
    assert np.sum(rows["redo_recycled"]) > 0
    hold(state, rows)
    assert np.all(np.nansum(rows["mask_churn"], axis=0) == 0)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *(("dqn", method) for method in UPDATERS),
        *((name, "rigl") for name in BUILDERS if name != "dqn"),
    ],
)
def test_one_agent_takes_every_updater_and_every_agent_takes_one(name, method):
    """Shapes alone; `test_contract` runs them."""
    takes(name, method)


NOT_ALONE = {"tandem", "impala-synthetic", *VARIANTS}
"""Agents with two learners, those that another builder makes of one, and other settings."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in AGENTS if name not in NOT_ALONE])
def test_every_agent_takes_every_updater(name):
    for method in UPDATERS:
        takes(name, method)


def takes(name, method):
    """Trace the first masks of an agent and their renewal, and compare the states' types."""
    updater = UPDATERS[method]()
    targets = updater.score is not None and name in BUILDERS and name not in ("ppo", "pqn")
    agent, _ = sparse_agent(name, updater, mask_targets=targets)
    key, clock = jax.random.key(0), Clock(np.int32(0), np.int32(1))

    def maintained(key):
        state = agent.init(key, agent.hypers)
        transition = experience(agent, key, agent.hypers, state)
        return state, agent.maintain(key, clock, agent.hypers, state, transition)

    state, (after, found) = jax.eval_shape(maintained, key)
    assert jax.tree.map(str, state) == jax.tree.map(str, after)
    assert set(found) >= {"mask_churn", "mask_sparsity"}


EACH = [(name, method) for name in BUILDERS for method in UPDATERS]
FAST = {("pqn", "magnitude_ste")}


@pytest.mark.parametrize(
    ("name", "method"),
    [one if one in FAST else pytest.param(*one, marks=pytest.mark.slow) for one in EACH],
)
def test_contract(name, method):
    agent, _ = sparse_agent(name, UPDATERS[method]())
    check_agent(agent, jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["magnitude", "rigl", "magnitude_ste"])
def test_derivatives_are_finite(method):
    agent, _ = sparse_agent("dqn", UPDATERS[method]())
    check_gradients(agent, jax.random.key(0))


def test_levels_are_members_of_one_program_and_independent():
    agent, env = sparse_agent("pqn", sparsity.rigl())
    how = {"seeds": 2, "steps": 12 * 32, "progress": False}

    def at(*levels):
        hypers = pjs.search.grid(agent.hypers, sparsity=levels)
        return pjs.sweep(agent, env, hypers=hypers, **how).curves

    found, again = at(0.0, 0.5, 0.9), at(0.9, 0.5, 0.0)
    for name in (name for name in found if "sparsity" in found[name].dims):
        one, other = found[name], again[name]
        np.testing.assert_array_equal(one, other.sel(sparsity=one.sparsity))


def test_hypers_are_those_that_the_updater_reads():
    def names(updater):
        return pjs.sparse(pjs.dqn, updater)(plain("dqn")[1]).hypers._fields[-4:]

    assert names(sparsity.static())[-1] == "sparsity"
    assert names(sparsity.rigl())[1:] == ("sparsity_start", "sparsity_end", "drop_fraction")
    one_shot = sparsity.magnitude(schedule=sparsity.one_shot())
    assert names(one_shot)[2:] == ("sparsity", "sparsity_start")
    assert not any("sparsity" in name for name in names(sparsity.no_prune()))
    n_of_m = sparsity.magnitude(structure=sparsity.n_of_m(2, 4))
    assert [name for name, _ in read_by(n_of_m)] == ["sparsity_start"]
    hypers = pjs.sparse(pjs.dqn, sparsity.rigl())(plain("dqn")[1]).hypers
    assert pickle.loads(pickle.dumps(hypers)) == hypers


def test_a_sparse_builder_declares_what_the_builder_inside_does():
    build = pjs.sparse(pjs.bbf, sparsity.static())
    known = argument.declared(build)
    assert known["config"] is pjs.BBFConfig and known["network"] is nets.SelfPredictive
    agent = build(pjs.make("Breakout-MinAtar"))
    assert type(agent.hypers) is known["hypers"]
    assert isinstance(agent.model, nets.SelfPredictive) and agent.model.network is agent.network
    state = jax.eval_shape(agent.init, jax.random.key(0), agent.hypers)
    assert masks_of(state.learner)["aux"]["predictor"]["kernel"].dtype == bool


def test_what_makes_no_sense_is_refused():
    agent, env = plain("pqn")
    with pytest.raises(ValueError, match="period: expected a multiple of the 4 gradient steps"):
        sparse_agent("pqn", sparsity.rigl(), period=6)
    with pytest.raises(ValueError, match="updater: expected"):
        pjs.sparse(pjs.pqn, "rigl")
    with pytest.raises(ValueError, match="builder: expected"):
        pjs.sparse(agent, sparsity.rigl())
    once = pjs.sparse(pjs.pqn, sparsity.static())
    with pytest.raises(ValueError, match="builder: sparsity: agents of this one are sparse"):
        pjs.sparse(once, sparsity.rigl())
    for options in ({"period": 1000}, {"mask_targets": True}, {"reset_count": True}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected none where no"):
            pjs.sparse(pjs.pqn, sparsity.static(), **options)
    with pytest.raises(ValueError, match="reset_count: expected none where no weights grow back"):
        pjs.sparse(pjs.pqn, sparsity.magnitude_ste(), reset_count=True)
    pjs.sparse(pjs.pqn, sparsity.ac_dc(), reset_count=True)  # its weights do
    for updater in (sparsity.static(), sparsity.magnitude()):
        with pytest.raises(ValueError, match="as_released: expected none where no"):
            pjs.sparse(pjs.pqn, updater, as_released=True)
    with pytest.raises(ValueError, match="schedule: expected one that is not gradual"):
        sparsity.magnitude(structure=sparsity.n_of_m(2, 4), schedule=sparsity.cubic())
    with pytest.raises(ValueError, match="mask_targets: expected none, as 'pqn' has no target"):
        sparse_agent("pqn", sparsity.rigl(), mask_targets=True)
    rare, env = sparse_agent("pqn", sparsity.rigl(), period=40)
    with pytest.raises(ValueError, match="steps: expected at least 640, 20 updates, as shorter"):
        pjs.plan(rare, env, seeds=1, steps=639)
    fits_not = sparsity.magnitude(structure=sparsity.n_of_m(3, 5))
    with pytest.raises(ValueError, match="kernel"):
        sparse_agent("pqn", fits_not)
    with pytest.raises(ValueError, match="builder: expected an agent with one learner"):
        pjs.sparse(pjs.tandem, sparsity.static())(probes.delayed_reward())
    sparse, env = sparse_agent("pqn", sparsity.magnitude())
    for name, value in {"sparsity": 1.0, "sparsity_start": 0.9, "sparsity_end": 0.0}.items():
        with pytest.raises(ValueError, match="hypers.sparsity.*expected"):
            pjs.plan(sparse, env, seeds=1, steps=64, hypers=sparse.hypers._replace(**{name: value}))


def test_signal_and_noise_of_gradients_by_hand():
    """Gradients of single environments average to that of the rollout."""
    agent, _ = sparse_agent("pqn", sparsity.static())
    key, hypers = jax.random.key(0), agent.hypers

    @jax.jit
    def seen():
        state = agent.init(key, hypers)
        transition = experience(agent, key, hypers, state)
        inspection = inspect_agent(agent, key, hypers, state, state, transition)
        grads = jax.vmap(partial(inspection.sample, state.learner))(jnp.arange(inspection.samples))
        probe = inspection.probe(state.learner)
        found = sparsity.gradient_signal_to_noise(state.learner, probe, inspection)
        return grads, probe.grads, masks_of(state.learner), found

    grads, whole, masks, found = seen()
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(lambda one, all: close(np.mean(one, axis=0), all), grads, whole)
    rows = np.concatenate([np.reshape(x, (len(x), -1)) for x in jax.tree.leaves(grads)], axis=1)
    inside = np.concatenate([np.ravel(x) for x in jax.tree.leaves(masks)])
    kept = inside & (np.ptp(rows, axis=0) > 0)
    rows = rows[:, kept].astype(np.float64)
    ratio = np.abs(rows.mean(0)) / rows.std(0, ddof=1)
    assert len(rows) > 1 and not kept.all()
    close(found["gradient_signal_to_noise"], ratio.mean(), rtol=1e-3)
