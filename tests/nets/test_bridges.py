"""What bridges, tokens, routers and mixtures of experts keep, whatever their parameters are."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.nets import lean_gradients, moe, tokens
from purejaxrl_suite.nets.bridges import Scale

STYLE = nets.Style(jax.nn.initializers.normal(0.5), False, jnp.float32)
SHAPE, UNITS = (3, 4, 5), 6  # 12 tokens of 5 numbers
BOARD, ACTION = Box((6, 6, 2), "bool", 0, 1), Discrete(3)
rng = np.random.default_rng(0)
X = jnp.asarray(rng.normal(size=(2, 60)), jnp.float32)
LOGITS = jnp.asarray(rng.normal(size=(2, 12, 4)), jnp.float32)


def make(router, experts, cut=None, style=STYLE):
    """A mixture: its parameters and compiled function of them and x."""
    part = moe.mixture(SHAPE, UNITS, cut or nets.per_conv(), router, experts, jax.nn.relu, style)
    module = part.module
    shapes = jax.eval_shape(module.init_with_output, jax.random.key(0), X, {}, X)[1]
    draw = lambda x: jnp.asarray(rng.normal(size=x.shape, scale=0.5), x.dtype)  # noqa: E731
    return jax.tree.map(draw, shapes), jax.jit(lambda v, x: module.apply(v, x, {}, x))


def routed(router, logits, slots):
    """What a router makes of logits for four experts, on the host."""
    return jax.device_get(jax.jit(lambda z: router.route({}, z, X, 4, slots))(logits))


def softmax(x, axis):
    x = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return x / np.sum(x, axis=axis, keepdims=True)


def expert(params, x):
    first, second = params["dense_0"], params["dense_1"]
    hidden = np.maximum(x @ first["kernel"] + first["bias"], 0)
    return hidden @ second["kernel"] + second["bias"]


def test_soft_mixture_equals_a_loop_over_experts_and_slots():
    variables, apply = make(nets.soft(), 4)
    out, features, routing = apply(variables, X)
    params = jax.tree.map(np.asarray, variables["params"])
    assert routing.dispatch.shape == (2, 12, 4, 3)
    for b in range(2):
        rows = np.asarray(X[b]).reshape(12, 5)
        logits = rows @ params["router"]["kernel"]
        dispatch, combine = softmax(logits, 0), softmax(logits, 1)
        expected = np.zeros((12, 5))
        for e in range(4):
            for s in range(3):
                column = 3 * e + s
                seen = dispatch[:, column] @ rows
                made = expert(params[f"expert_{e}"], seen)
                expected += combine[:, column, None] * made[None]
        np.testing.assert_allclose(out[b].reshape(12, 5), expected, rtol=1e-4, atol=1e-5)
    assert set(features) == {f"expert_{e}/dense_{i}" for e in range(4) for i in range(2)}
    assert features["expert_3/dense_0"].shape == (2, 3, UNITS)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradients_from_outputs_are_those_from_inputs(dtype):
    x = jnp.asarray([[-1.0, 0.0, 2.0], [jnp.nan, 3.0, -0.0]], dtype)
    slope = jnp.asarray(rng.normal(size=x.shape), dtype)

    def pulled(function, x):
        def both(x):
            y, pull = jax.vjp(function, x)
            return y, *pull(slope)

        found = jax.jit(both)(x)
        assert all(one.dtype == dtype for one in found)
        return [np.asarray(one, np.float32) for one in found]

    np.testing.assert_array_equal(pulled(lean_gradients.relu, x), pulled(jax.nn.relu, x))
    error = 1e-6 if dtype == jnp.float32 else 2e-2
    x = jnp.asarray([[-1.0, 0.0, 2.0], [0.0, 3.0, -0.0]], dtype)
    for axis in (0, 1):
        ours = pulled(lambda x, axis=axis: lean_gradients.softmax(x, axis), x)
        theirs = pulled(lambda x, axis=axis: jax.nn.softmax(x, axis), x)
        np.testing.assert_allclose(ours, theirs, atol=error)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_soft_tables_sum_to_one(dtype):
    variables, apply = make(nets.soft(normalized=True), 4, style=STYLE._replace(dtype=dtype))
    out, _, routing = jax.device_get(apply(variables, X))
    assert routing.dispatch.dtype == routing.combine.dtype == out.dtype == jnp.float32
    np.testing.assert_allclose(np.sum(routing.dispatch, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.sum(routing.combine, axis=(2, 3)), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.sum(routing.probabilities, axis=2), 1.0, atol=1e-5)
    assert np.min(routing.dispatch) >= 0 and np.min(routing.combine) >= 0


def test_order_and_number_of_tokens():
    variables, apply = make(nets.soft(), 4)
    order = rng.permutation(12)
    moved = np.asarray(X).reshape(2, 12, 5)[:, order].reshape(2, 60)
    here, there = (np.asarray(apply(variables, x)[0]) for x in (X, moved))
    expected = here.reshape(2, 12, 5)[:, order].reshape(2, 60)
    np.testing.assert_allclose(there, expected, atol=1e-5)
    # With a constant Phi every slot sees the mean token; a single slot answers all alike.
    flat = tree.at(variables, ("params", "router"))["kernel"]
    variables["params"]["router"]["kernel"] = np.zeros(flat.shape, np.float32)
    np.testing.assert_allclose(apply(variables, X)[2].dispatch, 1 / 12, rtol=1e-6)
    variables, apply = make(nets.soft(slots=1), 1)
    out = np.asarray(apply(variables, X)[0]).reshape(2, 12, 5)
    np.testing.assert_allclose(out, np.broadcast_to(out[:, :1], out.shape), atol=1e-5)


def test_slots_change_no_parameter_of_experts():
    few, many = (make(nets.soft(slots=n), 2)[0]["params"] for n in (1, 12))
    assert jax.tree.map(jnp.shape, few["expert_0"]) == jax.tree.map(jnp.shape, many["expert_0"])
    assert few["router"]["kernel"].shape == (5, 2) and many["router"]["kernel"].shape == (5, 24)


@pytest.mark.parametrize("k", [1, 2])
def test_top_k(k):
    router = nets.top_k(k)
    slots = router.slots(12, 4)
    routing = routed(router, LOGITS, slots)
    dispatch = routing.dispatch
    assert slots == 3 * k and set(np.unique(dispatch)) == {0.0, 1.0}
    served = dispatch.sum(3)  # [B, m, E]
    assert served.sum(2).max() <= k and served.sum(1).max() <= slots and dispatch.sum(1).max() == 1
    probabilities = softmax(np.asarray(LOGITS), 2)
    np.testing.assert_allclose(routing.combine, dispatch * probabilities[..., None], rtol=1e-5)
    # Earlier tokens and first choices go first, so only they are sure to be served.
    rank = np.argsort(np.argsort(-probabilities, axis=2), axis=2)
    for b in range(2):
        for e in range(4):
            queue = [t for r in range(k) for t in range(12) if rank[b, t, e] == r]
            assert set(np.flatnonzero(served[b, :, e])) == set(queue[:slots])
    np.testing.assert_allclose(routing.dropped, 1 - served.sum((1, 2)) / (12 * k), atol=1e-6)
    assert np.all(routing.dropped > 0)


@pytest.mark.parametrize("k", [1, 2])
def test_what_is_dropped_is_zero_and_teaches_the_router_nothing(k):
    variables, apply = make(nets.top_k(k), 3)
    out, _, routing = apply(variables, X)
    nobody = np.asarray(routing.dispatch).sum((2, 3)) == 0
    if k == 1:
        assert nobody.any()
    assert np.all(np.asarray(out).reshape(2, 12, 5)[nobody] == 0)
    router = nets.top_k(1)
    weigh = lambda z: jnp.sum(router.route({}, z, X, 4, 3).combine)  # noqa: E731
    gradient = np.asarray(jax.jit(jax.grad(weigh))(LOGITS))
    dropped = routed(router, LOGITS, 3).dispatch.sum((2, 3)) == 0
    assert dropped.any() and np.all(gradient[dropped] == 0) and np.all(gradient[~dropped] != 0)


def test_top_k_of_all_experts_equals_a_loop():
    variables, apply = make(nets.top_k(2), 2)
    params = jax.tree.map(np.asarray, variables["params"])
    out = np.asarray(apply(variables, X)[0]).reshape(2, 12, 5)
    rows = np.asarray(X).reshape(2, 12, 5)
    gates = softmax(rows @ params["router"]["kernel"], 2)
    expected = sum(gates[..., e, None] * expert(params[f"expert_{e}"], rows) for e in range(2))
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_balance_and_noise():
    even = np.zeros((2, 12, 4), np.float32)
    uneven = even + np.float32([5.0, 0.0, 0.0, 0.0])
    for losses in ({"importance": 1.0}, {"load": 1.0}):
        router = nets.top_k(1, **losses)
        loss = jax.jit(jax.value_and_grad(lambda z, r=router: r.route({}, z, X, 4, 3).loss))
        found = [loss(z)[0] for z in (even, uneven)]
        assert found[0] < 1e-6 < 0.5 < found[1]
        assert np.any(np.asarray(loss(LOGITS)[1]) != 0)
    wide = np.asarray(rng.normal(size=(2, 500, 4)), np.float32)
    plain, noisy = (routed(nets.top_k(1, noise=n), wide, 1) for n in (0.0, 2.0))
    moved = np.log(noisy.probabilities) - np.log(plain.probabilities)
    moved -= np.mean(moved, axis=2, keepdims=True)  # a softmax forgets the mean of four
    assert np.std(moved) == pytest.approx(2.0 / 4 * np.sqrt(3 / 4), rel=0.05)
    assert abs(np.mean(moved[0] * moved[1])) < 0.02
    again = routed(nets.top_k(1, noise=2.0), wide, 1)
    np.testing.assert_array_equal(again.probabilities, noisy.probabilities)


def test_expert_choice_fills_every_expert():
    router = nets.expert_choice()
    routing = routed(router, LOGITS, router.slots(12, 4))
    dispatch, probabilities = routing.dispatch, softmax(np.asarray(LOGITS), 2)
    assert np.all(dispatch.sum(1) == 1) and dispatch.shape[3] == 3
    for b in range(2):
        for e in range(4):
            best = np.argsort(-probabilities[b, :, e])[:3]
            assert set(best) == set(np.flatnonzero(dispatch[b, :, e].sum(1)))
    np.testing.assert_allclose(routing.dropped, np.mean(dispatch.sum((2, 3)) == 0, axis=1))


def test_a_router_by_task_teaches_one_expert():
    task = lambda x: (x[:, 0] > 0).astype(jnp.int32)  # noqa: E731
    x = np.abs(X)
    variables, apply = make(nets.by_task(task), 2)
    out, _, routing = apply(variables, x)
    assert "router" not in variables["params"]
    np.testing.assert_array_equal(routing.probabilities[..., 1], 1.0)
    params = jax.tree.map(np.asarray, variables["params"])
    expected = expert(params["expert_1"], np.asarray(x).reshape(2, 12, 5)).reshape(2, 60)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(apply(v, x)[0] ** 2)))(variables)["params"]
    gradient = jax.device_get(gradient)
    assert all(np.all(g == 0) for g in jax.tree.leaves(gradient["expert_0"]))
    assert all(np.any(g != 0) for g in jax.tree.leaves(gradient["expert_1"]))


def test_experts_start_apart_and_a_random_phi_stays():
    network = nets.q_network(
        BOARD, ACTION, hidden=(4,), bridge=nets.mixture(nets.soft(learned=False), 3)
    )
    params = jax.device_get(jax.jit(network.init)(jax.random.key(0)))
    obs = np.ones((2, 6, 6, 2), bool)
    kernels = [params["bridge"][f"expert_{i}"]["dense_0"]["kernel"] for i in range(3)]
    assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[1], kernels[2])
    phi = params["bridge"]["router"]["kernel"]
    assert np.std(phi) == pytest.approx(1 / np.sqrt(16 * 3), rel=0.15)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(network.apply(p, obs)[0] ** 2)))(params)
    assert not np.any(gradient["bridge"]["router"]["kernel"])


def test_tokens_by_hand():
    x = np.arange(60.0, dtype=np.float32).reshape(1, 3, 4, 5)
    np.testing.assert_array_equal(np.asarray(nets.per_conv().cut(x))[0, 7], x[0, 1, 3])
    np.testing.assert_array_equal(np.asarray(nets.per_feat().cut(x))[0, 2], x[0, :, :, 2].ravel())
    assert nets.per_samp().cut(x).shape == (1, 1, 60)
    mixed = nets.shuffled(nets.per_conv())
    found = mixed.cut(x)
    assert found.shape == (1, 12, 5) and not np.array_equal(found, nets.per_conv().cut(x))
    np.testing.assert_array_equal(np.sort(np.ravel(found)), np.ravel(x))
    np.testing.assert_array_equal(found, mixed.cut(x))
    for cut in (nets.per_conv(), nets.per_feat(), nets.per_samp(), mixed):
        assert cut.cut(x).shape[1:] == cut.size((3, 4, 5))
    assert tokens.per_conv().size((7,)) == (1, 7)


def features(bridge, box=BOARD, **options):
    """Shapes of the features of a network."""
    network = nets.q_network(box, ACTION, hidden=(4,), bridge=bridge, **options)
    params = jax.eval_shape(network.init, jax.random.key(0))
    obs = jax.ShapeDtypeStruct((2, *box.shape), box.dtype)
    found = jax.eval_shape(network.apply, params, obs)[1].features
    return network, {name: x.shape[1:] for name, x in found.items()}


def test_patches_drop_the_border():
    board = Box((10, 10, 2), "bool", 0, 1)
    _, found = features(nets.tokenised(tokens=nets.per_patch(7)), board, encoder=nets.flat())
    assert found["bridge/patches/conv_0"] == (3, 3, 7) and found["bridge/dense_0"] == (9, 4)
    network = nets.q_network(
        board,
        ACTION,
        hidden=(4,),
        encoder=nets.flat(),
        bridge=nets.tokenised(tokens=nets.per_patch(7)),
    )
    params = jax.jit(network.init)(jax.random.key(0))
    apply = jax.jit(network.apply)
    row = np.arange(10)[None, :, None, None]
    seen = (np.broadcast_to(row == i, (1, 10, 10, 2)) for i in (10, 9, 8))  # no row, or this one
    before, last, inner = (np.asarray(apply(params, obs)[0]) for obs in seen)
    np.testing.assert_array_equal(last, before)
    assert np.any(inner != before)


def test_shared_layer_on_one_token_is_a_dense_layer():
    options = {"hidden": (4,), "encoder": nets.flat(), "layer_norm": False}
    dense = nets.q_network(BOARD, ACTION, **options)
    one = nets.q_network(BOARD, ACTION, bridge=nets.tokenised(tokens=nets.per_samp()), **options)
    params = jax.jit(dense.init)(jax.random.key(0))
    obs = jnp.asarray(rng.random((3, 6, 6, 2)) < 0.4)
    renamed = {"bridge": params["trunk"], "heads": params["heads"]}
    ours, theirs = jax.jit(dense.apply)(params, obs)[0], jax.jit(one.apply)(renamed, obs)[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    shape, cut = (3, 4, 5), nets.per_conv()
    summed, mean = (
        moe.shared(shape, 4, cut, reduce, jax.nn.relu, STYLE).module
        for reduce in (jnp.sum, jnp.mean)
    )
    variables = jax.jit(summed.init_with_output)(jax.random.key(0), X, {})[1]
    total, average = (jax.jit(one.apply)(variables, X, {})[0] for one in (summed, mean))
    np.testing.assert_allclose(np.asarray(total) / 12, average, rtol=1e-5)


def test_pooling():
    x = np.asarray(rng.normal(size=(2, 5, 4, 3)), np.float32)
    rows = x.reshape(2, -1)

    def pooling(rows, size):
        return moe.pooled((5, 4, 3), size).module.apply({}, rows, {})[0]

    def pool(rows, size):
        return np.asarray(jax.jit(pooling, static_argnums=1)(rows, size))

    np.testing.assert_allclose(pool(rows, 1), np.mean(x, (1, 2)), atol=1e-6)
    shifted = np.roll(x, (1, 2), (1, 2)).reshape(2, -1)
    np.testing.assert_allclose(pool(shifted, 1), pool(rows, 1), atol=1e-6)
    assert not np.allclose(pool(shifted, 2), pool(rows, 2))
    gradient = jax.jit(jax.grad(lambda r: jnp.sum(pooling(r, 1))))(rows)
    np.testing.assert_allclose(gradient, 1 / 20, rtol=1e-6)
    # Of five rows the middle one is in both halves, as in PyTorch.
    np.testing.assert_allclose(
        pool(rows, 2).reshape(2, 2, 2, 3)[:, 1, 0], np.mean(x[:, 2:, :2], (1, 2)), atol=1e-6
    )
    each = jax.jit(jax.vmap(lambda r: pooling(r[None], 2)[0]))
    np.testing.assert_allclose(each(rows), pool(rows, 2))
    assert features(nets.pool(), encoder=nets.impala((4,), blocks=1))[0].wiring[1].tile == 1


def test_numbers_of_parameters():
    network, _ = features(nets.mixture(nets.soft(), 8), layer_norm=False)
    counts = nets.parameter_count(network, depth=2)
    expert = 16 * 4 + 4 + 4 * 16 + 16  # 16 channels, 4 units
    assert counts["bridge/expert_7"] == expert
    assert counts["bridge"] == 8 * expert + 16 * 8 * 2  # 16 tokens, 2 slots
    params = jax.jit(network.init)(jax.random.key(0))
    assert counts[""] == sum(x.size for x in jax.tree.leaves(params))
    assert nets.parameter_count(params, depth=2) == counts
    for bridge, rows in (
        (nets.flatten(), 4 * 4 * 16),
        (nets.pool(2), 2 * 2 * 16),
        (nets.pool(), 16),
        (nets.tokenised(), 16),
    ):
        counts = nets.parameter_count(features(bridge, layer_norm=False)[0])
        assert counts.get("bridge", 0) + counts.get("trunk", 0) == rows * 4 + 4
    size, dense = nets.matching(lambda n: nets.q_network(BOARD, ACTION, hidden=(n,)), 20_000)
    assert abs(nets.parameter_count(dense)[""] / 20_000 - 1) <= 0.01 and size > 1
    with pytest.raises(ValueError, match="parameters=300: the nearest is size"):
        nets.matching(lambda n: nets.q_network(BOARD, ACTION, hidden=(n,)), 300)


def test_scales():
    def sizes(scale, **options):
        return features(None, scale=scale, **options)[1]

    deep = {"encoder": nets.impala((4,), blocks=1)}
    assert sizes(Scale(trunk=2, trunk_depth=3, bottleneck=0.5)) == {
        "encoder/conv_0": (4, 4, 16),
        "trunk/dense_0": (4,),
        "trunk/dense_1": (8,),
        "trunk/dense_2": (8,),
    }
    wide = sizes(Scale(encoder=2, encoder_depth=2))
    assert wide["encoder/conv_0"] == wide["encoder/conv_1"] == (4, 4, 32)
    assert wide["trunk/dense_0"] == (4,)
    found = sizes(Scale(encoder=1.5, encoder_depth=2), **deep)
    assert {"encoder/stage_0_block_0_conv_0", "encoder/stage_0_block_1_conv_0"} < set(found)
    assert found["encoder/stage_0"] == (3, 3, 6)
    with pytest.raises(ValueError, match="expected positive factors"):
        sizes(Scale(trunk=0))


def test_experts_that_are_networks():
    """With a router by task nothing is shared: the output is that of the task's own network."""
    task = lambda obs: obs[:, 0, 0, 0].astype(jnp.int32)  # noqa: E731
    options = {"hidden": (4,), "encoder": nets.flat(), "activation": jax.nn.relu}
    network = nets.actor_critic(BOARD, ACTION, bridge=nets.big(nets.by_task(task), 2), **options)
    alone = nets.actor_critic(BOARD, ACTION, **options)
    params = jax.jit(network.init)(jax.random.key(0))
    assert "bridge" not in params
    obs = rng.random((4, 6, 6, 2)) < 0.4
    obs[:, 0, 0, 0] = [False, True, True, False]
    found, internals = jax.jit(network.apply)(params, obs)
    found, apply = jax.device_get(found), jax.jit(alone.apply)
    for i in range(2):
        own = {
            "trunk": {s: params["trunk"][s][f"expert_{i}"] for s in ("actor", "critic")},
            "heads": {h: params["heads"][h][f"expert_{i}"] for h in ("policy", "value")},
        }
        mine = obs[:, 0, 0, 0] == i
        jax.tree.map(
            lambda x, y, m=mine: np.testing.assert_allclose(x[m], y[m], atol=1e-6),
            found,
            jax.device_get(apply(own, obs)[0]),
        )
    assert internals.features["trunk/actor/expert_1/dense_0"].shape == (4, 4)
    assert set(internals.router) >= {"bridge/actor/load", "bridge/critic/load"}


def test_placement_in_actor_and_critic():
    mixed = nets.final(nets.soft(), 2)
    network = nets.actor_critic(BOARD, ACTION, hidden=(4,), critic_bridge=mixed)
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert set(params["heads"]["policy"]) == {"kernel", "bias"}
    assert set(params["heads"]["value"]) == {"expert_0", "expert_1"}
    assert params["heads"]["critic"]["mixed"]["router"]["kernel"].shape == (4, 2)
    second = nets.penultimate(nets.soft(), 2)
    vectors = nets.actor_critic(Box((3,)), ACTION, hidden=(5, 6), bridge=second, shared=True)
    params = jax.eval_shape(vectors.init, jax.random.key(0))
    assert params["trunk"]["dense_0"]["kernel"].shape == (3, 5)
    assert params["bridge"]["expert_1"]["dense_0"]["kernel"].shape == (5, 6)


VALUES = {
    "values": nets.q_network,
    "atoms": partial(nets.q_network, atoms=5, dueling=True, noisy=True),
    "implicit": partial(nets.implicit_quantile_network, quantiles=2, mixed=(3,)),
    "self-predictive": lambda *spaces, **options: nets.self_predictive(*spaces, **options).network,
}
BRIDGES = {
    "flatten": nets.flatten(),
    "pool": nets.pool(2),
    "tokens": nets.tokenised(jnp.mean, nets.per_patch(3)),
    "soft": nets.mixture(nets.soft(), 2),
    "top-k": nets.mixture(nets.top_k(2, noise=1.0, load=1.0), 2),
    "expert choice": nets.mixture(nets.expert_choice(), 2),
    "penultimate": nets.penultimate(nets.soft(), 2),
    "final": nets.final(nets.soft(), 2),
    "everywhere": nets.everywhere(nets.soft(), 2),
    "big": nets.big(nets.soft(), 2),
}
REFUSED = {("implicit", name) for name in ("final", "everywhere", "big")} | {
    ("self-predictive", "big")
}


@pytest.mark.parametrize(
    "name", [n if n == "implicit" else pytest.param(n, marks=pytest.mark.slow) for n in VALUES]
)
def test_bridges_are_interchangeable_in_networks_of_action_values(name):
    def build(bridge):
        options = {"hidden": (4, 3), "encoder": nets.minatar_cnn(5), "activation": jax.nn.relu}
        return VALUES[name](BOARD, ACTION, bridge=bridge, **options)

    def seen(network):
        params = jax.eval_shape(network.init, jax.random.key(0))
        obs = jax.ShapeDtypeStruct((2, *BOARD.shape), BOARD.dtype)
        output, internals = jax.eval_shape(network.apply, params, obs)
        steps, starts = (
            jax.ShapeDtypeStruct((3, 2, *x), d) for x, d in ((BOARD.shape, BOARD.dtype), ((), bool))
        )
        unrolled, of_all = jax.eval_shape(network.unroll, params, steps, (), starts)
        assert unrolled.shape == (3, *output.shape)
        paths = (path for path, _ in jax.tree.leaves_with_path(params))
        leaves = {tuple(str(part.key) for part in path) for path in paths}
        wired = {path for e in network.wiring for path in (*e.incoming, *e.outgoing)}
        assert wired <= leaves
        assert {e.layer for e in network.wiring} == set(internals.features)
        assert internals.router.keys() == of_all.router.keys()
        return params, output, bool(internals.router)

    plain = seen(build(None))
    for label, bridge in BRIDGES.items():
        if (name, label) in REFUSED:
            with pytest.raises(ValueError, match="bridge: experts"):
                build(bridge)
            continue
        params, output, routed = seen(build(bridge))
        assert output.shape == plain[1].shape
        assert routed == (label not in ("flatten", "pool", "tokens"))
        assert (jax.tree.structure(params) == jax.tree.structure(plain[0])) == (
            label in ("flatten", "pool")
        )


def test_a_latent_is_projected_by_the_bridge_in_the_place_of_a_dense_layer():
    options = {"hidden": (4,), "encoder": nets.minatar_cnn(5), "atoms": 2}
    both = nets.self_predictive(BOARD, ACTION, bridge=nets.mixture(nets.soft(), 2), **options)
    params = jax.jit(both.network.init)(jax.random.key(0))
    assert params["aux"]["predictor"]["kernel"].shape == (16 * 5, 16 * 5)

    @jax.jit
    def seen(params, obs):
        output, internals = both.network.apply(params, obs)
        features = internals.features
        return output, both.project(params, features), both.predict(params, features, ACTIONS)

    ACTIONS = jnp.array([[0, 1], [2, 2]])
    obs = jnp.asarray(rng.random((2, 6, 6, 2)) < 0.4)
    output, projected, predicted = seen(params, obs)
    heads = params["heads"]  # what is projected is what heads read
    value = projected @ heads["value"]["kernel"]
    advantage = (projected @ heads["advantage"]["kernel"]).reshape(2, 3, 2)
    expected = value[:, None] + advantage - jnp.mean(advantage, axis=1, keepdims=True)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    assert predicted.shape == (2, 2, 80) and np.any(predicted[0] != predicted[1])
    by_task = nets.mixture(nets.by_task(lambda obs: obs[:, 0, 0, 0].astype(jnp.int32)), 2)
    with pytest.raises(ValueError, match="its router reads observations"):
        nets.self_predictive(BOARD, ACTION, bridge=by_task, **options)


def test_bad_arguments_are_named():
    def refused(match, bridge, **options):
        with pytest.raises(ValueError, match=match):
            nets.q_network(BOARD, ACTION, **({"hidden": (4,)} | options), bridge=bridge)

    refused(r"hidden=\(\): expected a dense layer", nets.mixture(nets.soft(), 2), hidden=())
    refused("experts=0", nets.mixture(nets.soft(), 0))
    refused("experts=0", nets.big(nets.soft(), 0))
    refused("k=3: expected at most", nets.final(nets.top_k(3), 2))
    refused("size=9", nets.pool(9))
    with pytest.raises(ValueError, match=r"pool: input shape \(3,\)"):
        nets.q_network(Box((3,)), ACTION, bridge=nets.pool())
    refused("memory_units=3", nets.big(nets.soft(), 2), memory_units=3)
    with pytest.raises(ValueError, match="slots=0"):
        nets.soft(slots=0)
    with pytest.raises(ValueError, match="k=0"):
        nets.top_k(0)
    with pytest.raises(ValueError, match="capacity=0"):
        nets.expert_choice(0)
    with pytest.raises(ValueError, match="critic_bridge"):
        nets.actor_critic(BOARD, ACTION, shared=True, critic_bridge=nets.flatten())
