"""Tabular Markov decision processes with exact solutions: oracles of what agents learn.

A policy is an array f[S, A] of action probabilities. Solvers take an MDP and a policy, are pure and
unbatched: `jax.vmap` them over MDPs or policies, run them in float64 with `in_float64`.
"""

from purejaxrl_suite.mdps import mirror_ascent, traces
from purejaxrl_suite.mdps.credit import emphasis, expected_trace
from purejaxrl_suite.mdps.diagnostic import (
    Diagnostic,
    baird,
    collision,
    corner_walk,
    delayed_chain,
    multi_chain,
    random_walk,
    two_state,
    umbrella_chain,
)
from purejaxrl_suite.mdps.environment import environment
from purejaxrl_suite.mdps.expected_traces import TraceHypers, expected_trace_q, expected_trace_td
from purejaxrl_suite.mdps.experience import Step, experience
from purejaxrl_suite.mdps.families import (
    bipartite,
    chain,
    cliff_world,
    deep_sea_treasure,
    grid,
    maze_48,
    random_mdp,
    random_policy,
)
from purejaxrl_suite.mdps.live import Life, Row, epsilon_greedy, fixed, play
from purejaxrl_suite.mdps.mdp import (
    MDP,
    constant_policy,
    in_float64,
    tabular,
    uniform_policy,
)
from purejaxrl_suite.mdps.members import map_members
from purejaxrl_suite.mdps.mico import ksme, mico, mico_operator, reduced, sampled_mico
from purejaxrl_suite.mdps.mirror_ascent import MirrorHypers, ascend
from purejaxrl_suite.mdps.planning import (
    Model,
    PlanningHypers,
    PlanningState,
    given,
    likelihood,
    planned_td,
    planner_aware,
    squared,
)
from purejaxrl_suite.mdps.planning_control import PlanningControlState, planned_q
from purejaxrl_suite.mdps.prediction import (
    NStepHypers,
    Predictor,
    TDHypers,
    learn,
    n_step_td,
    td,
    true_online_td,
    value_error,
)
from purejaxrl_suite.mdps.solve import (
    Optimal,
    action_values,
    greedy_policy,
    induced,
    optimal,
    state_values,
    stationary_distribution,
    successor_measure,
)
from purejaxrl_suite.mdps.stability import ExpectedUpdates, expected_updates
from purejaxrl_suite.mdps.successors import Successors, learn_successors

__all__ = [
    "MDP",
    "Diagnostic",
    "ExpectedUpdates",
    "Life",
    "MirrorHypers",
    "Model",
    "NStepHypers",
    "Optimal",
    "PlanningControlState",
    "PlanningHypers",
    "PlanningState",
    "Predictor",
    "Row",
    "Step",
    "Successors",
    "TDHypers",
    "TraceHypers",
    "action_values",
    "ascend",
    "baird",
    "bipartite",
    "chain",
    "cliff_world",
    "collision",
    "constant_policy",
    "corner_walk",
    "deep_sea_treasure",
    "delayed_chain",
    "emphasis",
    "environment",
    "epsilon_greedy",
    "expected_trace",
    "expected_trace_q",
    "expected_trace_td",
    "expected_updates",
    "experience",
    "fixed",
    "given",
    "greedy_policy",
    "grid",
    "in_float64",
    "induced",
    "ksme",
    "learn",
    "likelihood",
    "map_members",
    "learn_successors",
    "maze_48",
    "mico",
    "mico_operator",
    "mirror_ascent",
    "multi_chain",
    "n_step_td",
    "optimal",
    "planned_q",
    "planned_td",
    "planner_aware",
    "play",
    "random_mdp",
    "random_policy",
    "random_walk",
    "reduced",
    "sampled_mico",
    "squared",
    "state_values",
    "stationary_distribution",
    "successor_measure",
    "tabular",
    "td",
    "traces",
    "true_online_td",
    "two_state",
    "umbrella_chain",
    "uniform_policy",
    "value_error",
]
