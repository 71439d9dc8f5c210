"""Networks of a few numbers, for agents whose arithmetic is checked by hand."""

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.core.types import Internals, Network


def table(logits):
    """A network that puts out its one parameter, whatever it sees."""

    def apply(params, obs, memory=(), taps=None):
        q = params["heads"]["q"]
        output = jnp.broadcast_to(q[None], (len(obs), *q.shape))
        return output, Internals({"trunk/obs": jnp.reshape(obs, (len(obs), -1))}, (), {}, 0.0)

    return Network(lambda key: {"heads": {"q": jnp.asarray(logits)}}, apply, apply, ())


def predictive_table(logits):
    """The same, with predictions at right angles to what they predict: a distance of 2."""

    def predict(params, features, actions):
        return jnp.broadcast_to(jnp.array([1.0, 0.0]), (*actions.shape, 2))

    def project(params, features):
        return jnp.broadcast_to(jnp.array([0.0, 1.0]), (len(features["trunk/obs"]), 2))

    return nets.SelfPredictive(table(logits), predict, project)


def predictive_matrices():
    """A linear network for two actions and three atoms, with every namespace of a real one."""
    shapes = {
        "encoder": {"kernel": (2, 4)},
        "trunk": {"kernel": (4, 4)},
        "heads": {"q": (4, 6)},
        "aux": {"transition": {"kernel": (4, 4)}, "predictor": {"kernel": (4, 4), "bias": (4,)}},
    }
    leaves, structure = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))

    def init(key):
        keys = jax.random.split(key, len(leaves))
        numbers = [jax.random.normal(k, shape) for k, shape in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(structure, numbers)

    def apply(params, obs, memory=(), taps=None):
        latent = jnp.reshape(obs, (len(obs), -1))[:, :2] @ params["encoder"]["kernel"]
        output = latent @ params["trunk"]["kernel"] @ params["heads"]["q"]
        features = Internals({"encoder/latent": latent}, (), {}, 0.0)
        return jnp.reshape(output, (-1, 2, 3)), features

    def project(params, features):
        return features["encoder/latent"] @ params["trunk"]["kernel"]

    def predict(params, features, actions):
        aux, latent = params["aux"], features["encoder/latent"]
        projected = latent @ aux["transition"]["kernel"] @ params["trunk"]["kernel"]
        predicted = projected @ aux["predictor"]["kernel"] + aux["predictor"]["bias"][None]
        return jnp.broadcast_to(predicted[:, None], (*actions.shape, 4))

    return nets.SelfPredictive(Network(init, apply, apply, ()), predict, project)
