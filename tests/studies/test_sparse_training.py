"""Effects and figures of the studies of sparse training, by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import nets, sparsity
from purejaxrl_suite.envs import make
from purejaxrl_suite.studies import jaxpruner, minatar, sparse_actor_critic
from purejaxrl_suite.studies import state_of_sparse_training as study
from purejaxrl_suite.studies.judging import measured
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
CATCH = study.STUDY.quick.environments


def curves(scores, task, axis="sparsity", **more):
    """Curves of members with these normalized scores {level or network: score} at all times."""
    ends = jaxpruner.REFERENCES[task]
    low, high = ends.random.value, ends.reference.value
    shape = 1, len(scores), 9, 8
    values = np.broadcast_to(np.array([*scores.values()])[None, :, None, None], shape)
    dims = ("environment", axis, "seed", "step")
    data = {"episode_return": (dims, (low + values * (high - low)).astype(np.float32))}
    data |= {name: (dims, np.broadcast_to(x, shape).astype(np.float32)) for name, x in more.items()}
    data["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    coords = {"environment": [task], axis: [*scores], "step": np.arange(8)}
    return counted(xr.Dataset(data, coords=coords))


def masked(scores, task=CATCH[0], churn=0.05, **more):
    """The same of an arm with masks, as sparse as was asked."""
    asked = np.array([*scores])[None, :, None, None]
    return curves(scores, task, mask_sparsity=asked, mask_churn=churn, **more)


def arms_of_both(off=0.0):
    """Arms in which pruning scores most, and gradients get noisier with sparsity."""
    noise = np.array([0.8, 0.4, 0.3, 0.2])[None, :, None, None]
    static = masked({0.0: 0.7, 0.8: 0.5, 0.9: 0.3, 0.95: 0.1}, **{study.SNR: noise})
    static["mask_sparsity"] += off
    scores = {
        "prune": masked({0.8: 0.7, 0.9: 0.6, 0.95: 0.5}),
        "static": static,
        "set": masked({0.8: 0.6, 0.9: 0.5, 0.95: 0.4}),
        "rigl": masked({0.8: 0.6, 0.9: 0.5, 0.95: 0.4}),
        "set-uniform": masked({0.9: 0.4}),
        "small": curves({"0.9": 0.2}, CATCH[0], "network"),
    }
    return {f"{agent}-{name}": one for agent in study.AGENTS for name, one in scores.items()}


def effects_of(one, made):
    return [float(measured(KEY, claim, made).value) for claim in one.claims]


def test_effects_and_gates_of_levels():
    made = arms_of_both()
    each = [0.4, 0.2, 0.3, 0.1, 0.0, -1.0]
    assert effects_of(study.STUDY, made) == pytest.approx(each * 2, abs=1e-5)
    gates = {"learns": 0.7, "learns with SET": 0.5, "masks": 0.0, "moves": 0.4}
    expected = {f"{agent} {name}": x for agent in study.AGENTS for name, x in gates.items()}
    assert gates_of(study.STUDY, made) == pytest.approx(expected, abs=1e-5)
    assert gates_of(study.STUDY, arms_of_both(off=-0.01))["pqn masks"] == pytest.approx(
        0.01, abs=1e-5
    )


def test_the_figure_shows_every_method_and_the_small_network():
    score, rows, *_, ratios = study.figure(KEY, arms_of_both())
    assert score.against == pytest.approx(0.7, abs=1e-5)
    found = {one.label: (one.x, one.value) for one in score.lines}
    assert found["small"] == ((90.0,), pytest.approx((0.2,), abs=1e-5))
    assert found["static"][0] == (0.0, 80.0, 90.0, 95.0)
    assert [one.label for one in rows.rows][0] == "prune" and len(rows.rows) == 6
    assert ratios.lines[0].value == pytest.approx((0.8, 0.4, 0.3, 0.2), abs=1e-5)


def test_small_networks_have_the_parameters_that_are_in_masks(monkeypatch):
    monkeypatch.setattr(nets, "matching", lambda build, parameters, tolerance: (1, parameters))
    of = partial(study.network, large=False, layer_norm=False)
    weights = 50 * 128 + 128 * 128 + 128 * 3
    found = study.smaller(minatar.board(CATCH[0]), of, 128, 0.9)
    assert found == round(0.1 * weights) + 128 + 128 + 3


def test_methods_are_ranked_within_seeds():
    scores = {"magnitude": 0.6, "ste": 0.6, "set": 0.5, "rigl": 0.5, "static": 0.4, "random": 0.2}
    tasks = {jaxpruner.BANDIT: jaxpruner.TASK, jaxpruner.GAME: CATCH[0]}
    made = {
        f"{kind}-{name}": masked({0.0: 0.9, 0.95: x}, task)
        for kind, task in tasks.items()
        for name, x in scores.items()
    }
    expected = [1.0, -0.4, 1.0, -0.4, 0.0, 0.0]
    assert effects_of(jaxpruner.STUDY, made) == pytest.approx(expected, abs=1e-5)
    gates = {"learns": 0.9, "masks": 0.0, "loses": -0.7}
    expected = {f"{kind} {name}": x for kind in tasks for name, x in gates.items()}
    assert gates_of(jaxpruner.STUDY, made) == pytest.approx(expected, abs=1e-5)


def test_answers_are_right_or_wrong():
    env = jaxpruner.prototypes()
    label, obs = jax.vmap(lambda key: env.init(key, ()))(jax.random.split(KEY, 2000))
    assert obs.shape == (2000, 64) and set(np.unique(label)) == set(range(10))
    _, step = env.step(KEY, (), jnp.int32(3), jnp.int32(3))
    assert step.reward == 1.0 and step.terminated and not step.truncated
    assert env.step(KEY, (), jnp.int32(3), jnp.int32(4))[1].reward == 0.0


def of_sac(score):
    """Returns of SAC on Pendulum that begin at -1000 and end at -1000 + 800 times the score."""
    along = np.linspace(0.0, 1.0, 40) > 0.5
    tiny = 1e-3 * np.arange(9)[:, None] * along  # no two seeds are the same
    shape, dims = (1, 1, 9, 40), ("environment", "sparsity", "seed", "step")
    data = {
        "episode_return": (dims, np.broadcast_to(-1000.0 + 800.0 * score * along + tiny, shape))
    }
    data["mask_sparsity"] = dims, np.full(shape, 0.9)
    data["diverged"] = dims[:3], np.zeros(shape[:3], bool)
    coords = {"environment": ["Pendulum-v1"], "sparsity": [0.9], "step": np.arange(40)}
    return counted(xr.Dataset(data, coords=coords))


def test_weights_of_actor_and_critics_are_divided():
    one = sparse_actor_critic
    scores = {one.BALANCED: 0.9, one.ACTOR: 0.9, one.CRITIC: 0.5}
    made = {name: of_sac(score) for name, score in scores.items()}
    made[one.DENSE] = of_sac(1.0).isel(sparsity=0, drop=True)
    assert effects_of(one.STUDY, made) == pytest.approx([-0.4, 0.0], abs=1e-5)
    gates = gates_of(one.STUDY, made)
    assert gates.pop("masks") == pytest.approx(0.0, abs=1e-5) and min(gates.values()) > 1e3
    ranked, over_time = one.figure(KEY, made)
    assert len(ranked.rows) == 3 and len(over_time.lines) == 4
    arms = one.arms(one.STUDY.quick)
    shapes = jax.eval_shape(arms[one.DENSE].network(make("Pendulum-v1")).init, KEY)
    layers = sparsity.kernels(shapes)
    sizes = np.array([layer.size for layer in layers])
    actor = np.array([".actor." in layer.name for layer in layers])
    for share in (0.1, 0.9):
        kept = sizes * (1.0 - np.asarray(one.divided(share).allocate(layers, 0.9)))
        assert kept.sum() == pytest.approx(0.1 * sizes.sum(), rel=1e-3)
        assert kept[actor].sum() == pytest.approx(share * kept.sum(), rel=1e-3)
