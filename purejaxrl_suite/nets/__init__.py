"""Networks as functions: named features, taps, wiring; flax stays inside."""

from purejaxrl_suite.nets.builders import actor_critic, q_network
from purejaxrl_suite.nets.encoders import (
    Encoder,
    cnn,
    default_encoder,
    flat,
    minatar_cnn,
    nature_cnn,
    symbolic,
)
from purejaxrl_suite.nets.heads import ActorCritic, Gaussian, Sampler, distribution, sampler
from purejaxrl_suite.nets.layers import ConvLayer, DenseLayer, Part, Style, stack

__all__ = [
    "ActorCritic",
    "ConvLayer",
    "DenseLayer",
    "Encoder",
    "Gaussian",
    "Part",
    "Sampler",
    "Style",
    "actor_critic",
    "cnn",
    "default_encoder",
    "distribution",
    "flat",
    "minatar_cnn",
    "nature_cnn",
    "q_network",
    "sampler",
    "stack",
    "symbolic",
]
