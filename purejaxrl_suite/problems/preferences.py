"""Learning a density from preferences between pairs (Dumoulin et al. 2023, arXiv 2311.14115).

An annotator is shown two items of the prior and prefers one. Each of these problems has a loss and
an assumption about how the annotator chooses (`ops.preferences`); it learns what the annotator's
scores mean under that assumption, in closed form. A loss over P pairs of N items is a sum over N x
N numbers, how often each item was preferred to each other one; so it is computed.

A member draws pairs of its own. Its curves have `kl` and `tv`, from the closed form to what is
learnt, or for several components `tv_of_parts` and `weight_error`.
"""

from collections.abc import Callable
from functools import partial
from itertools import permutations
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.argument import function, instance, wrong
from purejaxrl_suite.core.types import Array, Clock, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.engine.problem import Examples, Problem, fitting
from purejaxrl_suite.ops import preferences
from purejaxrl_suite.ops.optimizers import adam
from purejaxrl_suite.ops.preferences import Behaviour
from purejaxrl_suite.problems.annotators import Annotator, MakesAnnotator, chooses
from purejaxrl_suite.problems.items import Items, grid, log_density

JITTER = 1e-4
"""Standard deviation of what makes components different at the start."""


class PreferenceConfig(NamedTuple):
    """Settings that change the program.

    Attributes:
        items: () -> the items, with their densities.
        annotator: (items, log density of the prior) -> the annotator.
        pairs: that a member is given, of the annotator's random choices; 0 gives it the
            annotator's probabilities of all pairs, as if there were infinitely many.
        components: densities of the model, each with the loss's assumption; several are several
            annotators, and their weights are learnt, too.
        look_every: updates from one measurement to the next.
    """

    items: Callable[[], Items] = grid
    annotator: MakesAnnotator = chooses
    pairs: Annotated[int, Range(0)] = 2**15
    components: Annotated[int, Range(1)] = 1
    look_every: Annotated[int, Range(1)] = 64


class SupervisedConfig(NamedTuple):
    """Settings that change the program, of SLiC.

    Attributes:
        items: as in `PreferenceConfig`.
        annotator: as in `PreferenceConfig`.
        pairs: as in `PreferenceConfig`.
        look_every: as in `PreferenceConfig`.
        draws: fresh items of the prior in each update, for the supervised term.
    """

    items: Callable[[], Items] = grid
    annotator: MakesAnnotator = chooses
    pairs: Annotated[int, Range(0)] = 2**15
    look_every: Annotated[int, Range(1)] = 64
    draws: Annotated[int, Range(1)] = 8192


class RewardHypers(NamedTuple):
    """Settings that may be swept, of a reward and of likelihood.

    Attributes:
        learning_rate: of Adam, before it falls to 0 like a cosine.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-4


class DirectHypers(NamedTuple):
    """Settings that may be swept, of DPO.

    Attributes:
        learning_rate: of Adam, before it falls to 0 like a cosine.
        beta: strength of the prior.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-4
    beta: Annotated[float, Range(above=0)] = 4.0


class GeometricHypers(NamedTuple):
    """Settings that may be swept, of geometric averages.

    Attributes:
        learning_rate: of Adam, before it falls to 0 like a cosine.
        alpha: weight of what is preferred, against the prior.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-4
    alpha: Annotated[float, Range(high=1, above=0)] = 0.25


class IdentityHypers(NamedTuple):
    """Settings that may be swept, of IPO.

    Attributes:
        learning_rate: of Adam, before it falls to 0 like a cosine.
        tau: strength of the prior.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-4
    tau: Annotated[float, Range(above=0)] = 0.5


class SupervisedHypers(NamedTuple):
    """Settings that may be swept, of SLiC.

    Attributes:
        learning_rate: of Adam, before it falls to 0 like a cosine.
        delta: margin that costs nothing, in nats.
        supervised_coefficient: weight of the log likelihood of the prior's items.
    """

    learning_rate: Annotated[float, Range(0)] = 1e-4
    delta: Annotated[float, Range(0)] = 1.0
    supervised_coefficient: Annotated[float, Range(0)] = 1.0


class Pairs(NamedTuple):
    """What a member knows.

    wins: f[N, N], the share of pairs in which item i was preferred to item j. log_prior: f[N], of
    the model at its start; no gradient. optimum: f[N], what is learnt in closed form; for a mixture
    of annotators the mixture of their densities.
    """

    wins: Array
    log_prior: Array
    optimum: Array


class Rule(NamedTuple):
    """A loss with its assumption.

    behaviour: (hypers, log density of the prior) -> Behaviour of the model. loss: (hypers, margins
    f[N, N]) -> f[N, N]. fresh: whether it starts without the prior. optimum: (hypers, log density
    of the prior, Annotator, log_measure) -> f[N]; None, or returning None, where none is known.
    """

    behaviour: Callable[[Any, Array], Behaviour]
    loss: Callable[[Any, Array], Array]
    fresh: bool = False
    optimum: Callable[[Any, Array, Annotator, Array], Array | None] | None = None


def reward_model(
    config: PreferenceConfig | None = None, hypers: RewardHypers | None = None
) -> Problem:
    """Make the problem of learning rewards, exp(reward) being a density, from a fresh start.

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """
    return _problem("reward_model", _likelihood(fresh=True), config, hypers, RewardHypers())


def likelihood(
    config: PreferenceConfig | None = None, hypers: RewardHypers | None = None
) -> Problem:
    """Make the problem of learning the annotator's density by likelihood, from the prior on.

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """
    return _problem("likelihood", _likelihood(fresh=False), config, hypers, RewardHypers())


def dpo(config: PreferenceConfig | None = None, hypers: DirectHypers | None = None) -> Problem:
    """Make the problem of direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """

    def behaviour(given: Any, log_prior: Array) -> Behaviour:
        return preferences.direct(log_prior, given.beta)

    return _problem("dpo", _entropic(behaviour), config, hypers, DirectHypers())


def geometric_average(
    config: PreferenceConfig | None = None, hypers: GeometricHypers | None = None
) -> Problem:
    """Make the problem of learning a geometric average of the prior and what is preferred.

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """

    def behaviour(given: Any, log_prior: Array) -> Behaviour:
        return preferences.geometric(log_prior, given.alpha)

    return _problem("geometric_average", _entropic(behaviour), config, hypers, GeometricHypers())


def ipo(config: PreferenceConfig | None = None, hypers: IdentityHypers | None = None) -> Problem:
    """Make the problem of identity preference optimisation (Azar et al. 2023, arXiv 2310.12036).

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range, or there are several components.
    """

    def optimum(given: Any, log_prior: Array, annotator: Annotator, log_measure: Array) -> Array:
        wins = annotator.probabilities() @ jnp.exp(log_prior + log_measure)
        return preferences.identity_optimum(log_prior, wins, given.tau, log_measure)

    rule = Rule(
        behaviour=lambda given, log_prior: preferences.direct(log_prior, 1.0),
        loss=lambda given, margins: preferences.identity(margins, given.tau),
        optimum=optimum,
    )
    known = PreferenceConfig() if config is None else config
    if isinstance(known, PreferenceConfig) and known.components != 1:
        raise wrong("config.components", "1, as the loss of IPO is no likelihood", known.components)
    return _problem("ipo", rule, config, hypers, IdentityHypers())


def slic(config: SupervisedConfig | None = None, hypers: SupervisedHypers | None = None) -> Problem:
    """Make the problem of SLiC-HF (Zhao et al. 2023, arXiv 2305.10425); it has no closed form.

    A hinge loss is added to the likelihood of items that are drawn from the prior in each update.

    Args:
        config: settings that change the program.
        hypers: settings that may be swept.

    Returns:
        The problem.

    Raises:
        ValueError: a setting is out of range.
    """
    rule = Rule(
        behaviour=lambda given, log_prior: preferences.luce(),
        loss=lambda given, margins: preferences.hinge(margins, given.delta),
    )
    known, given = validate.settings(config, hypers, (SupervisedConfig(), SupervisedHypers()))
    plain = PreferenceConfig(known.items, known.annotator, known.pairs, look_every=known.look_every)
    return _made("slic", rule, plain, given, known)


def _likelihood(fresh: bool) -> Rule:
    return _entropic(lambda given, log_prior: preferences.luce())._replace(fresh=fresh)


def _entropic(behaviour: Callable[[Any, Array], Behaviour]) -> Rule:
    """Make the rule of a likelihood of preferences."""

    def optimum(given: Any, log_prior: Array, annotator: Annotator, log_measure: Array) -> Any:
        if len(annotator.scores) > 1:  # whom no scores describe
            return None
        model = behaviour(given, log_prior)
        return preferences.optimum(model, annotator.scores[0], log_measure)

    return Rule(
        behaviour, lambda given, margins: preferences.cross_entropy(margins), False, optimum
    )


def _problem(name: str, rule: Rule, config: Any, hypers: Any, default: Any) -> Problem:
    known, given = validate.settings(config, hypers, (PreferenceConfig(), default))
    return _made(name, rule, known, given, known)


def _made(name: str, rule: Rule, config: PreferenceConfig, hypers: Any, told: Any) -> Problem:
    """Make the problem of a rule; told: its own Config, which may draw items of the prior."""
    items = instance("config.items()", function("config.items", config.items, 0, "()")(), Items)
    function("config.annotator", config.annotator, 2, "(items, log_prior) -> Annotator")
    draws, measure = getattr(told, "draws", 0), jnp.asarray
    log_measure = items.log_measure

    def loss(key: Key, given: Any, params: PyTree, batch: Any) -> tuple[Array, dict[str, Array]]:
        pairs, shares = batch
        behaviour = rule.behaviour(given, pairs.log_prior)
        log_weights = jax.vmap(items.log_weights)(params["densities"])
        logits = preferences.margins(jax.vmap(behaviour.scores)(log_weights))
        if config.components > 1:  # all losses of several components are likelihoods
            each = -preferences.mixture_log_probability(params["log_weights"], logits)
        else:
            each = rule.loss(given, logits[0])
        total = jnp.sum(pairs.wins * each)
        if not draws:
            return total, {}
        log_p = preferences.normalised(log_weights[0], measure(log_measure))
        told = jnp.sum(shares * log_p)
        return total - given.supervised_coefficient * told, {"supervised": told}

    return fitting(
        name,
        init=partial(_init, items, rule, config.components),
        examples=Examples((), partial(_collect, items, rule, config), partial(_draw, items, draws)),
        loss=loss,
        optimizer=lambda given: adam(given.learning_rate),
        hypers=hypers,
        config=told,
        anneal=_anneal,
        look=partial(_look, items, rule, config),
        look_every=config.look_every,
    )


def _anneal(given: Any, clock: Clock) -> Any:
    """Lower the learning rate to 0 like a cosine."""
    rate = 0.5 * (1.0 + jnp.cos(jnp.pi * clock.progress))
    return given._replace(learning_rate=given.learning_rate * rate)


def _init(items: Items, rule: Rule, components: int, key: Key, given: Any, data: PyTree) -> PyTree:
    """Make the first parameters: K densities, and the log weights of their mixture."""
    of_density, of_jitter = jax.random.split(key)
    one = (items.fresh if rule.fresh else items.start)(of_density)
    densities = jax.tree.map(lambda x: jnp.repeat(x[None], components, axis=0), one)
    if components > 1:
        leaves, structure = jax.tree.flatten(densities)
        keys = jax.random.split(of_jitter, len(leaves))
        moved = [
            x + JITTER * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)
        ]
        densities = jax.tree.unflatten(structure, moved)
    return {"densities": densities, "log_weights": jnp.zeros(components)}


def _collect(
    items: Items, rule: Rule, config: PreferenceConfig, key: Key, given: Any, data: Any, params: Any
) -> Pairs:
    """Ask the annotator about pairs of the prior, and compute what is learnt from all of them."""
    log_measure, size = jnp.asarray(items.log_measure), len(items.at)
    if rule.fresh:
        log_prior = jnp.asarray(items.log_prior)
    else:
        first = jax.tree.map(lambda x: x[0], params["densities"])
        log_prior = preferences.normalised(items.log_weights(first), log_measure)
    annotator = instance("annotator", config.annotator(items, log_prior), Annotator)
    probability = annotator.probabilities()
    of_pairs, of_choices = jax.random.split(key)
    if config.pairs:
        a, b = _drawn(of_pairs, jnp.exp(log_prior + log_measure), (2, config.pairs))
        first = jax.random.uniform(of_choices, (config.pairs,)) < probability[a, b]
        winner, loser = jnp.where(first, a, b), jnp.where(first, b, a)
        wins = jnp.zeros((size, size)).at[winner, loser].add(1.0 / config.pairs)
    else:
        drawn = jnp.exp(log_prior + log_measure)
        # Either of the two may be shown first.
        wins = 2.0 * drawn[:, None] * drawn[None, :] * probability
    known = rule.optimum and rule.optimum(given, log_prior, annotator, log_measure)
    return Pairs(wins, log_prior, jnp.asarray(items.log_target) if known is None else known)


def _drawn(key: Key, shares: Array, shape: tuple[int, ...]) -> Array:
    """Draw items i32[shape] by their shares f[N], which are up to a factor.

    By where a point falls among sums of shares: `jax.random.categorical` needs N numbers for each.
    """
    ends = jnp.cumsum(shares)
    points = jax.random.uniform(key, shape) * ends[-1]
    return jnp.searchsorted(ends[:-1], points, side="right")


def _draw(
    items: Items, draws: int, key: Key, given: Any, data: PyTree, carry: Pairs, clock: Clock
) -> Any:
    """Give all pairs, and the shares f[N] of fresh items of the prior."""
    if not draws:
        return carry, (carry, ())
    ends = jnp.cumsum(jnp.exp(carry.log_prior + items.log_measure))
    points = jnp.sort(jax.random.uniform(key, (draws,)))
    below = jnp.searchsorted(points, ends.at[-1].set(1.0), side="right")
    return carry, (carry, jnp.diff(below, prepend=0) / draws)


def _look(
    items: Items, rule: Rule, config: PreferenceConfig, given: Any, data: Any, carry: Pairs, to: Any
) -> dict[str, Array]:
    """Compare what is learnt with its closed form, and find its mass at places below 0."""
    log_measure, parts = jnp.asarray(items.log_measure), jnp.asarray(items.log_parts)
    log_p = jax.vmap(lambda one: log_density(items, one))(to["densities"])
    if config.components == 1:
        below = jnp.where(items.at < 0, jnp.exp(log_p[0] + log_measure), 0.0)
        found = {"mass_below": jnp.sum(below)}
        if rule.optimum is None:
            return found
        apart = (carry.optimum, log_p[0], log_measure)
        return found | {
            "kl": preferences.divergence(*apart),
            "tv": preferences.total_variation(*apart),
        }
    if config.components != len(parts):
        return {}
    orders = jnp.asarray(list(permutations(range(config.components))))
    each = jax.vmap(preferences.total_variation, (0, 0, None))
    tv = jax.vmap(lambda order: each(parts, log_p[order], log_measure))(orders)
    best = jnp.argmin(jnp.max(tv, axis=1))
    weights = jax.nn.softmax(to["log_weights"])[orders[best]]
    return {
        "tv_of_parts": jnp.max(tv[best]),
        "weight_error": jnp.max(jnp.abs(weights - items.weights)),
    }
