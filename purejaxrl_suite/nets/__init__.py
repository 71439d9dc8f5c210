"""Networks as pure functions with named features, taps and wiring; flax is not visible outside."""

from purejaxrl_suite.nets.bridges import (
    Bridge,
    Scale,
    big,
    everywhere,
    final,
    flatten,
    mixture,
    penultimate,
    pool,
    tokenised,
)
from purejaxrl_suite.nets.builders import actor_critic, q_network
from purejaxrl_suite.nets.continuous import (
    ActorCritics,
    actor_critics,
    clip_bound,
    part_of,
    tanh_bound,
)
from purejaxrl_suite.nets.decoupled import DecoupledOutput, decoupled_actor_critic
from purejaxrl_suite.nets.encoders import (
    Encoder,
    cnn,
    default_encoder,
    flat,
    minatar_cnn,
    nature_cnn,
    symbolic,
)
from purejaxrl_suite.nets.frozen import frozen
from purejaxrl_suite.nets.heads import (
    ActorCritic,
    Gaussian,
    Sampler,
    distribution,
    divergence,
    sampler,
)
from purejaxrl_suite.nets.impala import impala
from purejaxrl_suite.nets.implicit import implicit_quantile_network
from purejaxrl_suite.nets.latent_model import LatentModel, latent_model
from purejaxrl_suite.nets.layers import ConvLayer, DenseLayer, Part, Style, crelu, stack
from purejaxrl_suite.nets.noisy import Noise, add_noise, draw_noise, is_noisy
from purejaxrl_suite.nets.routers import Router, by_task, expert_choice, soft, top_k
from purejaxrl_suite.nets.self_prediction import SelfPredictive, self_predictive
from purejaxrl_suite.nets.sizes import matching, parameter_count
from purejaxrl_suite.nets.squashed import squashed
from purejaxrl_suite.nets.tabular import tabular
from purejaxrl_suite.nets.tokens import (
    Tokens,
    per_conv,
    per_feat,
    per_patch,
    per_samp,
    shuffled,
)
from purejaxrl_suite.nets.transition_classifier import (
    classifier_inputs,
    transition_logits,
    with_transition_classifier,
)

__all__ = [
    "ActorCritic",
    "ActorCritics",
    "Bridge",
    "ConvLayer",
    "DecoupledOutput",
    "DenseLayer",
    "Encoder",
    "Gaussian",
    "LatentModel",
    "Noise",
    "Part",
    "Router",
    "Sampler",
    "Scale",
    "SelfPredictive",
    "Style",
    "Tokens",
    "actor_critic",
    "actor_critics",
    "add_noise",
    "big",
    "by_task",
    "classifier_inputs",
    "clip_bound",
    "cnn",
    "crelu",
    "decoupled_actor_critic",
    "default_encoder",
    "distribution",
    "divergence",
    "draw_noise",
    "everywhere",
    "expert_choice",
    "final",
    "flat",
    "flatten",
    "frozen",
    "impala",
    "implicit_quantile_network",
    "is_noisy",
    "latent_model",
    "matching",
    "minatar_cnn",
    "mixture",
    "nature_cnn",
    "parameter_count",
    "part_of",
    "penultimate",
    "per_conv",
    "per_feat",
    "per_patch",
    "per_samp",
    "pool",
    "q_network",
    "sampler",
    "self_predictive",
    "shuffled",
    "soft",
    "squashed",
    "stack",
    "symbolic",
    "tabular",
    "tanh_bound",
    "tokenised",
    "top_k",
    "transition_logits",
    "with_transition_classifier",
]
