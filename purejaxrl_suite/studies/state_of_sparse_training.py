"""How sparse can networks of deep RL be, and which method of sparse training is best?

Paper: Graesser et al. 2022, The state of sparse training in deep reinforcement learning,
    arXiv 2206.10369.
Figure: its figures on returns against sparsity for pruning, static masks, SET and RigL, on uniform
    against ERK densities, and on the signal-to-noise ratio of gradients; there DQN on Atari and
    classic control, PPO and SAC on MuJoCo, here PQN and DQN on MinAtar (full), PQN on Breakout and
    DQN on Catch (standard), or both on Catch (quick).
Claim: at 90 % sparsity pruned networks score more than dense ones of as many parameters; masks that
    move are better than static ones, and RigL is no better than SET; ERK is better than uniform
    densities; gradients get noisier with sparsity.

Levels of sparsity of a method are one program. Level 0 of static masks is the dense
network. Pruning lasts from 20 to 80 % of training; SET and RigL move 30 % of the weights at first
and, by a cosine, none after 75 %: as in the paper. Masks are renewed 40 times in a run (our
setting). "small" has layers of one width, so that it has as many parameters, biases included, as
are in the masks of a network at that level. Networks have two dense layers of 128 units on the
board, in `full` Young and Tian's encoder and 512 units; with LayerNorm for PQN (our setting). There
is no weight decay. Uniform densities are compared at 90 %, and with SET; `full` has all methods
with them. PQN plays five times as many steps as DQN. The paper's score is of evaluations, here it
is the return in training. What it found for SAC, whose actor bears sparsity better than its
critics, is not asked here.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, search, sparsity, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.sparsity import Updater
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.dormant_neurons import growth
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.panels import Line, Lines, Panel, line
from purejaxrl_suite.studies.plasticity_panels import ranking
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

LEVELS, FEW_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.98), (0.8, 0.9, 0.95)
DENSE, HIGH, HIGHER = 0.0, 0.9, 0.95
MASKS = 40
"""How often masks are renewed in a run."""
LOOKS = 20
LONGER = 5
"""Steps of PQN for each step of DQN."""
TOLERANCE = 0.06
"""A unit of a small network is so large a part of it."""
SNR = "gradient_signal_to_noise"
AGENTS = ("pqn", "dqn")
SCORE, PERCENT = "normalized score", "sparsity, %"
Score = Callable[[Curves], Array]


class Base(NamedTuple):
    """An agent and its settings. layer_norm: of its networks."""

    builder: Callable[..., Any]
    config: Any
    hypers: Any
    layer_norm: bool

    @property
    def steps(self) -> int:
        """Return the environment steps of an update."""
        return self.config.num_envs * self.config.rollout_length


def bases() -> dict[str, Base]:
    """Return the agents: PQN, and DQN at a replay ratio of 0.25."""
    of_dqn = DQNConfig(num_envs=16, rollout_length=4, gradient_steps=16, huber=True)
    of_pqn = PQNConfig(num_envs=16, rollout_length=32, epochs=2, minibatches=8)
    return {
        "pqn": Base(pqn, of_pqn, minatar.PQN_HYPERS, True),
        "dqn": Base(dqn, of_dqn, DQNHypers(learning_rate=1e-3, epsilon_decay=0.1), False),
    }


def methods() -> dict[str, Updater]:
    """Return the methods by name, with ERK and with uniform densities."""
    made = {}
    for densities in (sparsity.erk(), sparsity.uniform()):
        drop = sparsity.cosine_drop()
        known = {
            "prune": sparsity.magnitude(distribution=densities),
            "static": sparsity.static(distribution=densities),
            "set": sparsity.sparse_evolutionary(drop=drop, distribution=densities),
            "rigl": sparsity.rigl(drop=drop, distribution=densities),
        }
        suffix = "" if densities.name == "erk" else f"-{densities.name}"
        made |= {f"{name}{suffix}": updater for name, updater in known.items()}
    return made


METHODS = ("prune", "static", "set", "rigl")
UNIFORM = "set-uniform"


def network(env: Environment, units: int, large: bool, layer_norm: bool) -> Network:
    """Make a network with two dense layers on the board, or one behind convolutions (large)."""
    hidden, encoder = ((units,), nets.minatar_cnn()) if large else ((units, units), nets.flat())
    options: Any = {"hidden": hidden, "encoder": encoder, "layer_norm": layer_norm}
    return nets.q_network(env.observation, env.action, **options)


def smaller(env: Environment, of: Callable[..., Network], units: int, level: float) -> Network:
    """Make the dense network with the parameters that another one keeps at a level of sparsity."""
    shapes = jax.eval_shape(of(env, units).init, jax.eval_shape(jax.random.key, 0))
    masked = sum(layer.size for layer in sparsity.kernels(shapes))
    kept = round(nets.parameter_count(shapes)[""] - level * masked)
    return nets.matching(lambda size: of(env, size), kept, tolerance=TOLERANCE)[1]


def with_method(plain: Experiment, updater: Updater, levels: Sequence[float]) -> Experiment:
    """Make the arm of a method from a plain one: all levels are one program."""
    builder: Any = plain.builder
    environments: Any = plain.env
    known = (env := environments[0]), plain.config, plain.network(env), plain.hypers
    agent = builder(*known)
    updates = int(plain.steps) // (agent.num_envs * agent.rollout_length)
    period = max(1, updates // MASKS) * agent.gradient_steps
    timed = {} if updater.score is None else {"period": period}
    builder = sparsity.sparse(builder, updater, **timed)
    points = search.grid(builder(*known).hypers, sparsity=levels)
    return plain._replace(builder=builder, hypers=points)


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms `pqn-set`: an agent with a method, and `pqn-small`.

    DQN plays `Budget.treatments`, a task for its smaller means, where there are any, and PQN the
    others. With static masks there is a level 0, and gradients of samples are compared.
    """
    whole = budget == STUDY.full
    levels, units = (LEVELS, 512) if whole else (FEW_LEVELS, 128)
    known = methods()
    names = tuple(known) if whole else (*METHODS, UNIFORM)
    made = {}
    for agent, base in bases().items():
        of = partial(network, large=whole, layer_norm=base.layer_norm)
        plain = _plain(budget, agent, base, partial(of, units=units))
        few = levels if whole else (HIGH,)
        small = {f"{x:g}": partial(smaller, of=of, units=units, level=x) for x in few}
        made[f"{agent}-small"] = plain._replace(network=small)
        for name in names:
            at = few if name.endswith("-uniform") else levels
            at = (DENSE, *at) if name == "static" else at
            made[f"{agent}-{name}"] = with_method(plain, known[name], at)
        look = max(1, int(plain.steps) // base.steps // LOOKS)
        seen = {"metrics": (sparsity.gradient_signal_to_noise,), "measure_every": look}
        made[f"{agent}-static"] = made[f"{agent}-static"]._replace(**seen)
    return made


def _plain(
    budget: Budget, agent: str, base: Base, build: Callable[[Environment], Network]
) -> Experiment:
    """Make the experiment of an agent without a method."""
    own = set(budget.treatments)
    ids = [id for id in budget.environments if not own or (id in own) == (agent == "dqn")]
    steps = budget.steps * (LONGER if agent == "pqn" else 1)
    size = budget.seed_numbers, steps
    environments = [minatar.board(id) for id in ids]
    return Experiment(base.builder, environments, *size, base.hypers, base.config, build)


def at(curves: Curves, level: float) -> Array:
    """Compute final scores at a level of sparsity, f32[S, environments]."""
    return normalized_scores(curves.sel(sparsity=level))


def dense(curves: Curves) -> Array:
    """Compute final scores of dense networks, which are static masks of level 0."""
    return at(curves, DENSE)


def small(curves: Curves, level: float = HIGH) -> Array:
    """Compute final scores of dense networks with the parameters of a level."""
    return normalized_scores(curves.sel(network=f"{level:g}"))


def better(x: Score, y: Score) -> Callable[[Key, Curves, Curves], Effect]:
    """Make the effect: the IQM of scores of one arm minus that of another."""

    def effect(key: Key, one: Curves, other: Curves) -> Effect:
        return stats.difference(key, x(one), y(other), paired=True)

    return effect


def snr(curves: Curves) -> Array:
    """Average the signal-to-noise ratio over training, f32[S, levels, environments]."""
    return late(curves, curves[SNR], 1.0)


def snr_grows(key: Key, static: Curves) -> Effect:
    """Estimate the rank correlation of the signal-to-noise ratio with the level of sparsity."""
    return estimated(key, growth(jnp.moveaxis(snr(static), 1, -1)))


def off_target(key: Key, *curves: Curves) -> float:
    """Compute how far the sparsity of any member is from what was asked, when training ends."""
    del key  # nothing is drawn
    off = (abs(one["mask_sparsity"].isel(step=-1) - one["sparsity"]).max() for one in curves)
    return float(max(map(float, off)))


def moved(key: Key, *curves: Curves) -> float:
    """Compute how many masks of weights changed in a run at 90 %, as a share of all weights.

    Averaged over members; the smallest of all arms.
    """
    del key  # nothing is drawn
    found = (one["mask_churn"].sel(sparsity=HIGH).sum("step").mean() for one in curves)
    return float(min(map(float, found)))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores against sparsity, scores at 90 % less dense ones, signal-to-noise ratios."""
    panels: list[Panel] = []
    for agent in AGENTS:
        own = {name.partition("-")[2]: one for name, one in curves.items() if agent in name}
        lines = [_line(key, name, _by_level(one)) for name, one in own.items() if name != "small"]
        few = {float(x): small(own["small"], float(x)) for x in own["small"]["network"].values}
        lines.append(_line(key, "small", few))
        reached = float(stats.estimate(key, dense(own["static"])).value)
        title = f"{agent.upper()}: final score, dense at the line"
        panels.append(Lines(title, PERCENT, f"{SCORE}, IQM", tuple(lines), against=reached))
        effect = better(partial(at, level=HIGH), dense)
        found = {
            name: effect(key, one, own["static"]) for name, one in own.items() if name != "small"
        }
        found["small"] = better(small, dense)(key, own["small"], own["static"])
        panels.append(
            ranking(f"{agent.upper()}: at 90 %", "score less that of dense", found, 0.0, 0.05)
        )
    ratios = tuple(
        _line(
            key,
            agent.upper(),
            _levels_of(curves[f"{agent}-static"], snr(curves[f"{agent}-static"])),
        )
        for agent in AGENTS
    )
    panels.append(Lines("Gradients, static masks", PERCENT, "signal-to-noise ratio, IQM", ratios))
    return tuple(panels)


def _by_level(curves: Curves) -> dict[float, Array]:
    return _levels_of(curves, normalized_scores(curves))


def _levels_of(curves: Curves, values: Array) -> dict[float, Array]:
    """Split f32[S, levels, environments] by level."""
    return {float(x): values[:, i] for i, x in enumerate(curves["sparsity"].values)}


def _line(key: Key, label: str, by_level: Mapping[float, Array]) -> Line:
    found = [stats.estimate(key, values) for values in by_level.values()]
    along = Estimate(*(np.array([float(one[i]) for one in found]) for i in range(3)))  # pyright: ignore[reportArgumentType]
    return line(label, [100.0 * level for level in by_level], along)


def _claims(agent: str) -> tuple[Claim, ...]:
    name, gates = agent.upper(), (f"{agent} learns", f"{agent} masks")
    moving = (*gates, f"{agent} moves")
    high = partial(at, level=HIGH)
    more = (
        (
            f"{name}: pruned by 90 %, networks score more than dense ones of as many parameters.",
            ("prune", "small"),
            better(high, small),
            gates,
        ),
        *(
            (
                f"{name}: SET scores more than static masks at {level:.0%} sparsity.",
                ("set", "static"),
                better(*(2 * (partial(at, level=level),))),
                moving,
            )
            for level in (HIGH, HIGHER)
        ),
        (
            f"{name}: SET scores more with ERK than with uniform densities, at 90 %.",
            ("set", UNIFORM),
            better(high, high),
            moving,
        ),
    )
    over = tuple(f"{agent}-{x}" for x in ("rigl", "set"))
    same = f"{name}: RigL scores what SET does at 90 %."
    noisier = f"{name}: with static masks gradients get noisier with sparsity."
    return (
        *(
            Claim(text, tuple(f"{agent}-{x}" for x in pair), effect, MORE, gates=needed)
            for text, pair, effect, needed in more
        ),
        Claim(same, over, better(high, high), EQUAL, gates=(*moving, f"{agent} learns with SET")),
        Claim(
            noisier,
            (f"{agent}-static",),
            snr_grows,
            LESS,
            smallest=0.3,
            unit="rank correlation",
            gates=gates,
        ),
    )


def _gates(agent: str) -> tuple[Gate, ...]:
    name, learns = agent.upper(), f"{agent} learns"
    over = tuple(f"{agent}-{x}" for x in (*METHODS, UNIFORM))
    evolving = tuple(f"{agent}-{x}" for x in ("set", "rigl", UNIFORM))
    high = partial(at, level=HIGH)
    with_set = f"So does {name} with SET, at 90 %."
    return (
        reaches(learns, f"Dense {name} learns every game.", f"{agent}-static", LEARNT, dense),
        reaches(f"{agent} learns with SET", with_set, f"{agent}-set", LEARNT, high),
        Gate(
            f"{agent} masks",
            "In the end all masks are as sparse as was asked.",
            over,
            off_target,
            LESS,
            0.005,
            "share of weights",
            "a run that renews masks after pruning has ended",
        ),
        Gate(
            f"{agent} moves",
            "SET and RigL replace weights.",
            evolving,
            moved,
            MORE,
            0.1,
            "share of weights",
            "more renewals of masks, or a larger share that is dropped",
        ),
    )


STUDY = Study(
    __doc__,
    arms,
    tuple(claim for agent in AGENTS for claim in _claims(agent)),
    figure,
    gates=tuple(gate for agent in AGENTS for gate in _gates(agent)),
    quick=Budget((minatar.CATCH,), 3, 4e3),
    standard=Budget(("Breakout-MinAtar", minatar.CATCH), 8, 6e4, (minatar.CATCH,), first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 16, 2e6, first_seed=2000),
)
