"""Learning to learn: lifetimes, meta-gradients, and systems that learn how agents learn."""

from purejaxrl_suite.meta.baselines import (
    ActorCriticConfig,
    ActorCriticHypers,
    ReinforceConfig,
    ReinforceHypers,
    actor_critic,
    reinforce,
)
from purejaxrl_suite.meta.frodo import FRODOConfig, FRODOHypers, frodo
from purejaxrl_suite.meta.inner import InnerHypers, Lesson, Look, Rule, inner_agent
from purejaxrl_suite.meta.intrinsic_rewards import LIRConfig, LIRHypers, intrinsic_reward
from purejaxrl_suite.meta.learned import LearnedConfig, LearnedHypers, learned
from purejaxrl_suite.meta.learner import Lives, MetaState, Practice, System, meta_learner
from purejaxrl_suite.meta.lifetime import Lifetime, Living, Window, advance, begin, live, living
from purejaxrl_suite.meta.lpg import LPGConfig, LPGHypers, lpg
from purejaxrl_suite.meta.lpg_rule import LearnedRule, random_rule, read_rule, save_rule
from purejaxrl_suite.meta.modac import MODACConfig, MODACHypers, modac
from purejaxrl_suite.meta.optimizers import differentiable

__all__ = [
    "ActorCriticConfig",
    "ActorCriticHypers",
    "FRODOConfig",
    "FRODOHypers",
    "InnerHypers",
    "LIRConfig",
    "LIRHypers",
    "LPGConfig",
    "LPGHypers",
    "LearnedConfig",
    "LearnedHypers",
    "LearnedRule",
    "Lesson",
    "Lifetime",
    "Lives",
    "Living",
    "Look",
    "MODACConfig",
    "MODACHypers",
    "MetaState",
    "Practice",
    "ReinforceConfig",
    "ReinforceHypers",
    "Rule",
    "System",
    "Window",
    "actor_critic",
    "advance",
    "begin",
    "differentiable",
    "frodo",
    "inner_agent",
    "intrinsic_reward",
    "learned",
    "live",
    "living",
    "lpg",
    "meta_learner",
    "modac",
    "random_rule",
    "read_rule",
    "reinforce",
    "save_rule",
]
