"""What do representations of actors and critics encode, if each has its own?

Paper: Garcin et al. 2025, Studying the interplay between the actor and critic representations in
    reinforcement learning, arXiv 2503.06343.
Figure: its measurements of mutual information, there on Procgen and Brax, here PPO and DAAC on
    MinAtar (full, standard) and on Catch (quick), and PPO on 200 levels of four rooms.
Claim: with a network each, the critic's representation says more of values, of what follows and of
    levels, and of what the actor's says a larger share is about actions, larger than where one
    network serves both.

A representation is the last hidden layer of 64 units, of the same size in all arms; separate
networks have twice the parameters. Information is estimated from 1,024 steps of a rollout, 20
times, and averaged over the last quarter of training; so many units make all estimates too low, in
all arms alike. Values are the critic's own, which are what it learns (the paper takes the returns
that followed), and levels, of which MinAtar has none, are left out: shares are of the sum of the
four informations that are measured. On levels information is that of 2,048 of 16,384 steps of a
rollout on the levels of training, and policies also play levels that they have not seen.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets, representations, stats
from purejaxrl_suite.agents.daac import DAACConfig, DAACHypers, daac
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.core.types import Array, Discrete, Environment, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.levels import levels
from purejaxrl_suite.plasticity.names import layers_of
from purejaxrl_suite.representations.on_levels import INFORMATION as ON_LEVELS
from purejaxrl_suite.representations.on_levels import UNSEEN, on_levels
from purejaxrl_suite.stats import Effect, Reference, Score
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.panels import Bars, Lines, Panel, row
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import MORE, Budget, Claim, Curves, Study
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

SHARED, SEPARATE, DAAC = "PPO, shared", "PPO, separate", "DAAC"
SHARED_LEVELS, SEPARATE_LEVELS = "PPO, shared, on levels", "PPO, separate, on levels"
GRID, LEVELS = "Navix-FourRooms-7x7-v0", 200
"""Rooms, and on how many levels of them agents learn."""
OF_LEVELS = {"envs": 64, "length": 256, "samples": 2048, "episodes": 64}
INFORMATION = {
    "action": "information_action",
    "value": "information_value",
    "next": "information_next",
    "transition": "information_transition",
}
ACTOR, CRITIC = "actor", "critic"
LATE, LOOKS = 0.25, 20
CONFIG = PPOConfig(num_envs=16, rollout_length=64, epochs=4, minibatches=4)
OF_DAAC = DAACConfig(num_envs=16, rollout_length=64, minibatches=4)
RATE = minatar.PPO_HYPERS.learning_rate
NATS, SHARE = "nats", "share of all information"
_NONE = Score(0.0, "an episode that never reaches the goal", "navix 4", True)
_ALL = Score(1.0, "the reward of the goal", "navix 4", True)
REFERENCES = {f"{GRID}/{LEVELS}-levels": Reference(_NONE, _ALL)}


def shared(env: Environment) -> Network:
    """Make the network that serves policy and values."""
    return _network(env, shared=True)


def separate(env: Environment) -> Network:
    """Make the network with an actor and a critic."""
    return _network(env, shared=False)


def with_advantages(env: Environment) -> Network:
    """Make the network of DAAC, whose actor predicts advantages too."""
    options: Any = {"hidden": (64, 64), "encoder": nets.flat()}
    count = cast(Discrete, env.action).n
    return nets.decoupled_actor_critic(env.observation, env.action, units=count, **options)


def _network(env: Environment, *, shared: bool) -> Network:
    return nets.actor_critic(
        env.observation,
        env.action,
        hidden=(64, 64),
        activation=jax.nn.relu,
        encoder=nets.flat(),
        shared=shared,
    )


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: PPO with one network and with two, and DAAC; PPO with either on levels."""
    environments = [minatar.board(id) for id in budget.environments if id != GRID]
    updates = int(budget.steps) // (CONFIG.num_envs * CONFIG.rollout_length)
    one = Experiment(
        ppo,
        environments,
        budget.seed_numbers,
        budget.steps,
        minatar.PPO_HYPERS,
        CONFIG,
        shared,
        metrics=(representations.information(),),
        measure_every=max(1, updates // LOOKS),
    )
    advantages = one._replace(
        builder=daac,
        hypers=DAACHypers(learning_rate=RATE),
        config=OF_DAAC,
        network=with_advantages,
    )
    played = one._replace(
        env=[levels(make(GRID), LEVELS)],
        metrics=(),
        source=partial(on_levels, every=max(1, updates // LOOKS), **OF_LEVELS),
    )
    return {
        SHARED: one,
        SEPARATE: one._replace(network=separate),
        DAAC: advantages,
        SHARED_LEVELS: played,
        SEPARATE_LEVELS: played._replace(network=separate),
    }


def informations(curves: Curves, part: str) -> dict[str, Array]:
    """Compute informations late in training, of the actor's or the critic's layer, f32[S, ...].

    One network that serves both has one layer, which is returned for each.
    """
    found = {}
    for name, metric in INFORMATION.items():
        layers = layers_of(metric, map(str, curves.data_vars))
        own = {layer: x for layer, x in layers.items() if part in layer.split(".")}
        (whole,) = (own or layers).values()
        found[name] = late(curves, curves[whole], LATE)
    return found


def of_actions(curves: Curves, part: str) -> Array:
    """Compute the share of action information in all, f32[S, ...]."""
    found = informations(curves, part)
    return found["action"] / sum(found.values(), jnp.zeros(()))


def of_critic(name: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: an information of the critic's representation minus the actor's."""

    def effect(key: Key, curves: Curves) -> Effect:
        critic, actor = (informations(curves, part)[name] for part in (CRITIC, ACTOR))
        return stats.difference(key, critic, actor, paired=True)

    return effect


def specialised(key: Key, curves: Curves) -> Effect:
    """Estimate by how much larger the actor's share of action information is than the critic's."""
    actor, critic = (of_actions(curves, part) for part in (ACTOR, CRITIC))
    return stats.difference(key, actor, critic, paired=True)


def more_than_shared(key: Key, separate: Curves, shared: Curves) -> Effect:
    """Estimate by how much larger the actor's share is than that of one network for both."""
    x, y = of_actions(separate, ACTOR), of_actions(shared, ACTOR)
    return stats.difference(key, x, y, paired=False)


def better(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate by how much one arm scores more than another."""
    x, y = normalized_scores(one), normalized_scores(other)
    return stats.difference(key, x, y, paired=False)


def of_levels(curves: Curves, part: str) -> Array:
    """Compute what the actor's or the critic's layer says of levels late in training, f32[S, 1]."""
    found = layers_of(f"{ON_LEVELS}_level", map(str, curves.data_vars))
    own = {layer: x for layer, x in found.items() if part in layer.split(".")}
    (whole,) = (own or found).values()
    return late(curves, curves[whole], LATE)


def more_of_levels(key: Key, curves: Curves) -> Effect:
    """Estimate how much more the critic's layer says of levels than the actor's."""
    critic, actor = (of_levels(curves, part) for part in (CRITIC, ACTOR))
    return stats.difference(key, critic, actor, paired=True)


def unseen(curves: Curves) -> Array:
    """Compute returns late in training on levels that are held out, f32[S, 1]: 0 to 1."""
    return late(curves, curves[UNSEEN], LATE)


def better_unseen(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate by how much one arm scores more than another on levels that are held out."""
    return stats.difference(key, unseen(one), unseen(other), paired=False)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw returns, informations of each representation, shares of actions, and levels."""
    games = {name: one for name, one in curves.items() if name in LEARNS}
    returns = tuple(over_time(key, name, one, "episode_return") for name, one in games.items())
    streams = {SHARED: (curves[SHARED], ACTOR)}
    for name in (SEPARATE, DAAC):
        streams |= {f"{name}: {part}": (curves[name], part) for part in (ACTOR, CRITIC)}
    found = {label: informations(*parts) for label, parts in streams.items()}
    rows = tuple(
        tuple(row(name, estimated(key, values)) for name, values in one.items())
        for one in found.values()
    )
    shares = tuple((row(SHARE, estimated(key, of_actions(*parts))),) for parts in streams.values())
    labels = tuple(found)
    said = {SHARED_LEVELS: (curves[SHARED_LEVELS], ACTOR)}
    for part in (ACTOR, CRITIC):
        said[f"{SEPARATE_LEVELS}: {part}"] = curves[SEPARATE_LEVELS], part
    of_each = tuple((row(NATS, estimated(key, of_levels(*parts))),) for parts in said.values())
    played = (SHARED_LEVELS, SEPARATE_LEVELS)
    scores = tuple((row("held out", estimated(key, unseen(curves[x]))),) for x in played)
    return (
        Lines("Returns", "environment steps", "return, IQM", returns),
        Bars("Information of representations", NATS, tuple(INFORMATION), labels, rows),
        Bars("Of actions", SHARE, ("I(Z; A) of all",), labels, shares),
        Bars("Of levels", NATS, ("I(Z; L)",), tuple(said), of_each),
        Bars("Levels not seen", "return", ("held out",), played, scores),
    )


LEARNS = {SHARED: "shared learns", SEPARATE: "separate learns", DAAC: "DAAC learns"}
LEARNS_LEVELS = {
    SHARED_LEVELS: "shared learns levels",
    SEPARATE_LEVELS: "separate learns levels",
}
ON_GRID = partial(normalized_scores, references=REFERENCES)
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "The critic's representation says more of values than the actor's.",
            (SEPARATE,),
            of_critic("value"),
            MORE,
            unit=NATS,
            gates=(LEARNS[SEPARATE],),
        ),
        Claim(
            "The critic's representation says more of the next one than the actor's.",
            (SEPARATE,),
            of_critic("next"),
            MORE,
            unit=NATS,
            gates=(LEARNS[SEPARATE],),
        ),
        Claim(
            "Of what it says a larger share is about actions in the actor's than in the critic's.",
            (SEPARATE,),
            specialised,
            MORE,
            smallest=0.005,
            unit=SHARE,
            gates=(LEARNS[SEPARATE],),
        ),
        Claim(
            "That share is larger in an actor of its own than in a network that serves both.",
            (SEPARATE, SHARED),
            more_than_shared,
            MORE,
            smallest=0.005,
            unit=SHARE,
            gates=(LEARNS[SEPARATE], LEARNS[SHARED]),
        ),
        Claim(
            "DAAC's actor is specialised in actions, too.",
            (DAAC,),
            specialised,
            MORE,
            smallest=0.005,
            unit=SHARE,
            gates=(LEARNS[DAAC],),
        ),
        Claim(
            "PPO with an actor and a critic scores more than with one network for both.",
            (SEPARATE, SHARED),
            better,
            MORE,
            gates=(LEARNS[SEPARATE], LEARNS[SHARED]),
        ),
        Claim(
            "The critic's representation says more of levels than the actor's.",
            (SEPARATE_LEVELS,),
            more_of_levels,
            MORE,
            unit=NATS,
            gates=(LEARNS_LEVELS[SEPARATE_LEVELS],),
        ),
        Claim(
            "On levels that are held out an actor and a critic score more than one network.",
            (SEPARATE_LEVELS, SHARED_LEVELS),
            better_unseen,
            MORE,
            gates=tuple(LEARNS_LEVELS.values()),
        ),
    ),
    figure,
    gates=(
        *(reaches(gate, f"{arm} learns every game.", arm, LEARNT) for arm, gate in LEARNS.items()),
        *(
            reaches(gate, f"{arm}, learns.", arm, LEARNT, ON_GRID)
            for arm, gate in LEARNS_LEVELS.items()
        ),
    ),
    quick=Budget((minatar.CATCH, GRID), 3, 1e5),
    standard=Budget(("Breakout-MinAtar", GRID), 16, 1e6, first_seed=1000),
    full=Budget((*minatar.FOUR_GAMES, GRID), 16, 1e7, first_seed=2000),
)
