"""All systems of the suite: their papers and files, what shows them, and their studies.

The README's table is made of these rows and of the results of the studies that come with the suite.
"""

from pathlib import Path
from typing import NamedTuple

from benchmarks import study_pages
from purejaxrl_suite.report.findings import tally
from purejaxrl_suite.studies.protocol import JUDGED

PACKAGE = "purejaxrl_suite"


class System(NamedTuple):
    """A row of the table.

    papers: numbers of arXiv. files: in the package. shown: what shows that it works, and where;
    paths from the root in `code` become links. studies: names.
    """

    name: str
    papers: tuple[str, ...]
    files: tuple[str, ...]
    shown: str
    studies: tuple[str, ...] = ()


SYSTEMS = (
    System(
        "PPO: discrete, continuous, recurrent",
        ("1707.06347",),
        ("agents/ppo.py",),
        "[learning](docs/learning.md), beside PureJaxRL's own script",
        ("statistical_precipice", "reset_pool_is_harmless"),
    ),
    System(
        "PQN",
        ("2407.04811",),
        ("agents/pqn.py",),
        "on Breakout it learns what purejaxql's loop learns: [learning](docs/learning.md)",
    ),
    System(
        "FMA-PG: sPPO, MDPO, TRPO; exact for tables, with networks else",
        ("2108.05828", "2005.09814"),
        ("agents/fma_pg.py", "mdps/mirror_ascent.py"),
        "tables: the published numbers; networks: formulas, reductions, a first look at CartPole: "
        "[policy updates](docs/policy_updates.md)",
        ("functional_mirror_ascent",),
    ),
    System(
        "DQN, Munchausen; replay on the device",
        ("1312.5602", "2007.14430"),
        ("agents/dqn.py", "agents/munchausen.py"),
        "formulas and probe tasks: `tests/agents/test_dqn.py`, [replay](docs/replay.md)",
        ("value_agents",),
    ),
    System(
        "C51, QR-DQN, IQN",
        ("1707.06887", "1710.10044", "1806.06923"),
        ("agents/c51.py", "agents/qr_dqn.py", "agents/iqn.py"),
        "formulas and probe tasks: `tests/agents/test_value_agents.py`",
        ("value_agents",),
    ),
    System(
        "Rainbow, DER, DrQ(eps)",
        ("1710.02298", "1906.05243", "2004.13649"),
        ("agents/rainbow.py",),
        "formulas and probe tasks: [value-based agents](docs/value_agents.md)",
        ("value_agents",),
    ),
    System(
        "SPR, SR-SPR, BBF",
        ("2007.05929", "2305.19452"),
        ("agents/bbf.py",),
        "formulas, resets and probe tasks: `tests/agents/test_bbf.py`",
        ("bbf",),
    ),
    System(
        "SAC, TD3; BRO's residual network, REDQ's ensemble",
        ("1812.05905", "1802.09477", "2405.16158", "2101.05982"),
        ("agents/sac.py", "agents/td3.py", "nets/residual.py", "nets/ensemble.py"),
        "Pendulum and brax's inverted pendulum are solved, no larger task: "
        "[continuous control](docs/continuous_control.md)",
    ),
    System(
        "tandem: a passive learner beside an active one",
        ("2110.14020",),
        ("agents/tandem.py",),
        "the active learner is DQN bit for bit: `tests/agents/test_tandem.py`",
        ("tandem",),
    ),
    System(
        "IMPALA with V-trace; WETD, NETD, NEVtrace, ACE",
        ("1802.01561", "2106.11779"),
        ("agents/impala.py",),
        "formulas against rlax and loops, probe tasks: "
        "[credit assignment](docs/credit_assignment.md); no study trains the emphatic forms",
    ),
    System(
        "Muesli",
        ("2104.06159",),
        ("agents/muesli.py",),
        "invariants by hand; it costs many times what PPO does, and larger tasks are not shown: "
        "[Muesli](docs/credit_assignment.md#muesli)",
        ("muesli_aliased", "muesli"),
    ),
    System(
        "MPO and V-MPO",
        ("1806.06920", "1909.12238"),
        ("agents/mpo.py", "agents/vmpo.py"),
        "weights, temperatures and bounds by hand, probe tasks: "
        "[policy updates](docs/policy_updates.md)",
    ),
    System(
        "synthetic returns; Delayed Catch, Key-to-Door, a trigger chain",
        ("2102.12425",),
        ("agents/synthetic_returns.py", "envs/credit.py"),
        "the model finds known contributions: `tests/agents/test_synthetic_returns.py`",
        ("synthetic_returns",),
    ),
    System(
        "PPG, DCPG, DAAC",
        ("2009.04416", "2210.11057", "2102.10330"),
        ("agents/ppg.py", "agents/dcpg.py", "agents/daac.py"),
        "reductions to PPO and to each other: `tests/agents/test_decoupled.py`",
        ("actor_critic_representations",),
    ),
    System(
        "what representations encode: mutual information, alignment, dimension",
        ("2503.06343",),
        ("representations/metrics.py",),
        "estimators against oracles: `tests/ops/test_dependence.py`",
        ("actor_critic_representations",),
    ),
    System(
        "MICo and KSMe, as auxiliary losses and exactly in tables",
        ("2106.08229", "2310.19804"),
        ("representations/behavioural.py", "mdps/mico.py"),
        "oracles, weight 0 equal to the plain agent: [representations](docs/representations.md)",
        ("mico_tabular", "mico"),
    ),
    System(
        "proto-value networks",
        ("2304.12567",),
        ("agents/pvn.py", "mdps/successors.py"),
        "tasks and targets by hand, the exact form in tables: `tests/agents/test_pvn.py`",
        ("proto_values",),
    ),
    System(
        "reincarnation: QDagger, kickstarting, JSRL, rehearsal, pre-training, DQfD",
        ("2206.01626",),
        ("agents/reincarnation.py",),
        "reductions, stages that resume to the bit: "
        "[prior computation](docs/prior_computation.md#reincarnation)",
        ("reincarnation",),
    ),
    System(
        "offline: cloning, TD3+BC, CQL, IQL, Q-SARSA",
        ("2106.06860", "2006.04779", "2110.06169", "2307.13824"),
        (
            "agents/behaviour.py",
            "agents/td3_bc.py",
            "agents/cql.py",
            "agents/discrete_cql.py",
            "agents/iql.py",
            "agents/qsarsa.py",
        ),
        "they improve on a noisy behaviour where cloning does not; Q-SARSA's exact form is our "
        "reading; D4RL is not trained: [offline](docs/prior_computation.md#offline-learning)",
        ("offline_q_regularisation",),
    ),
    System(
        "plasticity: 20 metrics, ReDo",
        ("2302.12902",),
        ("plasticity/metrics.py", "plasticity/redo.py"),
        "wiring and contract tests: [plasticity](docs/plasticity.md)",
        ("dormant_neurons",),
    ),
    System(
        "ReGraMa: recycling by gradients",
        ("2505.24061",),
        ("plasticity/regrama.py",),
        "as in the paper and as released: `tests/plasticity`",
        ("grama", "grama_continuous"),
    ),
    System(
        "resets, continual backprop, injection, regularisers on streams of tasks",
        ("2303.07507", "2305.15555", "2205.07802"),
        ("plasticity/resets.py", "plasticity/continual_backprop.py", "plasticity/injection.py"),
        "contract tests of every intervention: `tests/contract/test_interventions.py`",
        ("plasticity_benchmark",),
    ),
    System(
        "mixtures of experts: soft, top-k, expert-choice, by task",
        ("2402.08609", "2406.18420"),
        ("nets/moe.py", "nets/routers.py"),
        "invariants by hand: `tests/agents/test_mixtures.py`, [scaling](docs/scaling.md)",
        ("moe_scaling", "moe_mixture_of_rl"),
    ),
    System(
        "tokens, not flattened maps; pooling",
        ("2410.01930", "2505.17749"),
        ("nets/bridges.py", "nets/tokens.py"),
        "invariants by hand: `tests/nets/test_bridges.py`",
        ("tokenize_not_flatten", "mind_the_gap"),
    ),
    System(
        "several tasks at once: shares, masks, heads, advantages",
        ("2503.05126",),
        ("envs/multi_task.py", "nets/tasks.py"),
        "one task equals none bit for bit: [several tasks](docs/multitask.md)",
        ("multitask_scaling", "multitask_grids", "mtrl_scaling"),
    ),
    System(
        "sparse training: static masks, SET, RigL",
        ("2206.10369",),
        ("sparsity/updaters.py", "sparsity/sparse.py"),
        "every agent of one learner with every method: [sparse training](docs/sparse_training.md)",
        ("state_of_sparse_training", "sparse_actor_critic"),
    ),
    System(
        "pruning: magnitude, saliency, Adam-Fisher, straight-through, AC/DC",
        ("2304.14082",),
        ("sparsity/scores.py", "sparsity/schedules.py"),
        "masks equal to JaxPruner's on equal inputs: `tests/sparsity`",
        ("jaxpruner",),
    ),
    System(
        "expected traces: ET, QET; Q(lambda), true online TD",
        ("2007.01839",),
        ("mdps/expected_traces.py", "mdps/traces.py"),
        "equal to loops over states: `tests/mdps/test_traces.py`",
        ("expected_traces",),
    ),
    System(
        "emphatic TD: ETD, NETD, WETD, NEVtrace",
        ("1503.04269", "2106.11779"),
        ("mdps/stability.py", "mdps/diagnostic.py"),
        "stability of expected updates as another program finds it: [tables](docs/tabular.md)",
        ("emphatic",),
    ),
    System(
        "planning forward and backward with learnt models",
        ("2010.13685",),
        ("mdps/planning.py", "mdps/planning_control.py"),
        "equal to loops over states: `tests/mdps/test_planning.py`",
        ("forethought_and_hindsight",),
    ),
    System(
        "learning to learn: learned intrinsic rewards, FRODO",
        ("1912.05500", "2007.08433"),
        ("meta/intrinsic_rewards.py", "meta/frodo.py"),
        "derivatives equal central differences, a bandit and wide Catch are learnt: "
        "[meta-gradients](docs/meta_gradients.md)",
        ("intrinsic_rewards", "frodo"),
    ),
    System(
        "LPG: learned update rules, loaded from a file",
        ("2007.08794",),
        ("meta/lpg.py", "meta/lpg_rule.py"),
        "derivatives equal central differences, an oracle rule is the actor-critic: "
        "[LPG](docs/meta_gradients.md#lpg)",
        ("lpg",),
    ),
    System(
        "MODAC: options by learned subgoals",
        ("2102.06741",),
        ("meta/modac.py", "meta/options.py"),
        "derivatives equal central differences, options are blind to the goal: "
        "[MODAC](docs/meta_gradients.md#modac)",
        ("modac",),
    ),
    System(
        "preferences as densities (PBDE); DPO, IPO, SLiC-HF",
        ("2311.14115",),
        ("problems/preferences.py",),
        "closed forms and reductions: [preferences](docs/preferences.md)",
        ("preferences_as_densities",),
    ),
    System(
        "silicon in graphene under an electron beam",
        ("2311.17894",),
        ("envs/silicon.py", "microscopy/controllers.py"),
        "laws of hops by chi-square, another program's table: [silicon](docs/silicon.md)",
        ("silicon_transitions",),
    ),
    System(
        "statistics: IQM, intervals, profiles, trends, verdicts",
        ("2108.13264",),
        ("stats/bootstrap.py", "stats/verdicts.py"),
        "coverage and false verdicts by simulation: [statistics](docs/statistics.md)",
        ("statistical_precipice",),
    ),
    System(
        "THC: which hyper-parameters transfer",
        ("2406.17523",),
        ("stats/thc.py",),
        "by hand: `tests/stats`",
        ("hyperparameter_consistency",),
    ),
    System(
        "successive halving, population-based training",
        ("1502.07943", "1711.09846"),
        ("populations/population.py",),
        "resumed to the bit: `tests/populations/test_population.py`",
    ),
    System(
        "sound and film of training; a pianist who trains",
        ("2111.05128",),
        ("report/sound.py", "report/pianist.py"),
        "[sonification](docs/sonification.md), `tests/report/test_sound.py`",
    ),
    System(
        "Sebulba: Gymnasium, MiniGrid as released, Atari and Meta-World on the host",
        ("2104.06272",),
        ("engine/sebulba.py", "envs/host.py"),
        "lag 0 or 1 is reproducible; Atari is not trained far on a CPU: "
        "[host environments](docs/host_environments.md)",
    ),
)
"""In the order of the table."""


def block() -> str:
    """The table of all systems."""
    rows = [(one.name, _papers(one), _files(one), _shown(one), _studies(one)) for one in SYSTEMS]
    titles = ("system", "paper", "file", "what shows it", "studies: what their claims came to")
    return f"\n{study_pages.table(titles, rows)}\n"


def _papers(one: System) -> str:
    return ", ".join(f"[{number}](https://arxiv.org/abs/{number})" for number in one.papers)


def _files(one: System) -> str:
    return ", ".join(f"[`{Path(file).stem}`]({PACKAGE}/{file})" for file in one.files)


def _shown(one: System) -> str:
    parts = one.shown.split("`")
    return "".join(f"[`{x}`]({x})" if i % 2 else x for i, x in enumerate(parts))


def _studies(one: System) -> str:
    """Name its studies, each with the verdicts of its largest budget."""
    told = []
    for name in one.studies:
        largest = next(iter(study_pages.results(name).values()), None)
        judged = largest is not None and largest.preset in JUDGED
        found = tally(largest) if judged and largest else "not judged yet"
        told.append(f"[`{name}`](docs/studies/{name}.md): {found}")
    return "; ".join(told)
