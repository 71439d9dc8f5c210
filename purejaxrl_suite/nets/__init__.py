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
from purejaxrl_suite.nets.impala import impala
from purejaxrl_suite.nets.implicit import implicit_quantile_network
from purejaxrl_suite.nets.layers import ConvLayer, DenseLayer, Part, Style, crelu, stack
from purejaxrl_suite.nets.noisy import Noise, add_noise, draw_noise
from purejaxrl_suite.nets.self_prediction import SelfPredictive, self_predictive

__all__ = [
    "ActorCritic",
    "ConvLayer",
    "DenseLayer",
    "Encoder",
    "Gaussian",
    "Noise",
    "Part",
    "Sampler",
    "SelfPredictive",
    "Style",
    "actor_critic",
    "add_noise",
    "cnn",
    "crelu",
    "default_encoder",
    "distribution",
    "draw_noise",
    "flat",
    "impala",
    "implicit_quantile_network",
    "minatar_cnn",
    "nature_cnn",
    "q_network",
    "sampler",
    "self_predictive",
    "stack",
    "symbolic",
]
