"""Problems: what is learnt without an environment, from examples and a loss.

`Train` is (init, update, train), whatever is trained. A `Problem` names one and the data that it is
given, so that `sweep`, `plan` and reports treat it as they treat an agent. `fitting` makes it for
gradient descent on a loss; any other `Train` may be named by hand.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import function, instance, integer, wrong
from purejaxrl_suite.core.interventions import joined
from purejaxrl_suite.core.types import Array, Clock, Key, Learner, PyTree
from purejaxrl_suite.engine.train import Train, training
from purejaxrl_suite.ops import descent
from purejaxrl_suite.ops.differentiable import norm

Row = Mapping[str, Array]


class Problem(NamedTuple):
    """A training without an environment, with what an experiment needs to know about it.

    name: for messages and run folders.
    hypers: default Hypers, a NamedTuple of floats: what may be swept.
    train: the training of one member; it is given `data`.
    data: arrays that all members share, an argument of the program that is not copied for each.
    config: the Config that it was made with, a NamedTuple; () where it has none.
    metric: of its rows, the one that reports show first; the lower the better.
    """

    name: str
    hypers: Any
    train: Train
    data: PyTree = ()
    config: Any = ()
    metric: str = "loss"


class MakesProblem(Protocol):
    """A function that makes a problem, such as `problems.lissajous`; None is the default."""

    def __call__(self, config: Any = None, hypers: Any = None, /) -> Problem:
        """Make the problem."""
        ...


class Examples(NamedTuple):
    """A source of examples.

    data: arrays that all members share.
    init: (key, hypers, data, first parameters) -> what a member carries, such as examples of its
        own.
    draw: (key, hypers, data, carry, clock) -> (carry, batch) of an update.
    """

    data: PyTree
    init: Callable[[Key, Any, PyTree, PyTree], PyTree]
    draw: Callable[[Key, Any, PyTree, PyTree, Clock], tuple[PyTree, PyTree]]


class Fit(NamedTuple):
    """State of a member: what is learnt, and what its source of examples carries."""

    learner: Learner
    examples: PyTree


Loss = Callable[[Key, Any, PyTree, PyTree], tuple[Array, Row]]
"""(key, hypers, params, batch) -> (f32[], metrics {name: f32[]})."""
Look = Callable[[Any, PyTree, PyTree, PyTree], Row]
"""(hypers, data, carry of the examples, params) -> measurements {name: f32[]}."""


class FitKeys(NamedTuple):
    """Parts of the key of a member; `updates` is only folded with the clock."""

    params: Key
    examples: Key
    updates: Key


def whole(data: PyTree) -> Examples:
    """Make the source that gives all of the data to every update."""
    return Examples(data, _nothing, lambda key, hypers, data, carry, clock: (carry, data))


def minibatches(data: PyTree, size: int) -> Examples:
    """Make the source of uniform draws, with replacement.

    Args:
        data: leaves [E, ...], E examples.
        size: examples of an update.

    Returns:
        The source.

    Raises:
        ValueError: there are no examples, leaves differ in their number, or size is below 1.
    """
    integer("size", size, 1)
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(data)}
    if len(counts) != 1 or not min(counts, default=()) or min(counts) == (0,):
        raise wrong("data", "leaves with the examples as their first axis", sorted(counts))
    ((count,),) = counts

    def draw(key: Key, hypers: Any, data: PyTree, carry: PyTree, clock: Clock) -> Any:
        return carry, tree.index(data, jax.random.randint(key, (size,), 0, count))

    return Examples(data, _nothing, draw)


def collected(collect: Callable[[Key, Any, PyTree, PyTree], PyTree], data: PyTree = ()) -> Examples:
    """Make the source of examples that each member collects once and sees in every update.

    collect: (key, hypers, data, first parameters) -> the examples. data: that all members share.
    """
    return Examples(data, collect, lambda key, hypers, data, carry, clock: (carry, carry))


def generated(draw: Callable[[Key, Any, PyTree], PyTree], data: PyTree = ()) -> Examples:
    """Make the source of fresh examples in every update, draw: (key, hypers, data) -> batch."""

    def fresh(key: Key, hypers: Any, data: PyTree, carry: PyTree, clock: Clock) -> Any:
        return carry, draw(key, hypers, data)

    return Examples(data, _nothing, fresh)


def _nothing(key: Key, hypers: Any, data: PyTree, params: PyTree) -> PyTree:
    return ()


def learnt(run: Any) -> PyTree:
    """Return the parameters of a fit."""
    return run.learner.params


def fitting(
    name: str,
    *,
    init: Callable[[Key, Any, PyTree], PyTree],
    examples: Examples,
    loss: Loss,
    optimizer: Callable[[Any], optax.GradientTransformation],
    hypers: Any,
    config: Any = (),
    anneal: Callable[[Any, Clock], Any] = lambda hypers, clock: hypers,
    notes: Callable[[PyTree], Row] = lambda gradient: {},
    look: Look | None = None,
    look_every: int = 1,
    metric: str = "loss",
) -> Problem:
    """Make the problem of gradient descent on a loss over examples.

    A row has the loss and the norm of the raw gradient, before the step; `look` sees the parameters
    after it.

    Args:
        name: of the problem.
        init: (key, hypers, data) -> first parameters.
        examples: their source.
        loss: (key, hypers in force, params, batch) -> (loss f32[], metrics).
        optimizer: hypers in force -> the optimizer, which is made anew in every update.
        hypers: the defaults.
        config: that the problem was made with.
        anneal: (hypers, clock) -> the hypers in force.
        notes: raw gradient -> metrics of it in every update.
        look: measurements that are too dear for every update; None for none.
        look_every: updates from one look to the next, the last of them after the last update; rows
            in between have NaN.
        metric: that reports show first.

    Returns:
        The problem.

    Raises:
        ValueError: an argument is of another kind, or look_every is below 1.

    Example:
        >>> x = jnp.linspace(-1.0, 1.0, 64)
        >>> def loss(key, hypers, slope, batch):
        ...     return jnp.mean(jnp.square(slope * batch - 3.0 * batch)), {}
        >>> line = pjs.engine.fitting(
        ...     "line", init=lambda key, hypers, data: jax.random.normal(key),
        ...     examples=pjs.engine.whole(x), loss=loss, hypers=Line(learning_rate=0.5),
        ...     optimizer=lambda hypers: optax.sgd(hypers.learning_rate))
        >>> pjs.run(line, seeds=8, steps=100)
    """
    instance("examples", examples, Examples)
    integer("look_every", look_every, 1)
    for what, one in {"init": init, "loss": loss, "optimizer": optimizer}.items():
        function(what, one, {"init": 3, "loss": 4, "optimizer": 1}[what], "as documented")

    def start(key: Key, given: Any, data: PyTree) -> Any:
        keys = FitKeys(*jax.random.split(key, len(FitKeys._fields)))
        params = init(keys.params, given, data)
        carry = examples.init(keys.examples, given, data, params)
        learner = Learner(params, optimizer(given).init(params))
        return tree.strong(Fit(learner, carry))

    def update(key: Key, given: Any, data: PyTree, run: Any, clock: Clock) -> tuple[Any, Any]:
        updates = FitKeys(*jax.random.split(key, len(FitKeys._fields))).updates
        of_draw, of_loss = jax.random.split(jax.random.fold_in(updates, clock.update))
        given = anneal(given, clock)
        carry, batch = examples.draw(of_draw, given, data, run.examples, clock)

        def of(params: PyTree) -> tuple[Array, Row]:
            return loss(of_loss, given, params, batch)

        (value, told), gradient = jax.value_and_grad(of, has_aux=True)(run.learner.params)
        learner = descent.move(optimizer(given), run.learner, gradient)
        seen = {}
        if look is not None:
            after = partial(look, given, data, carry, learner.params)
            seen = on_the_clock(after, look_every, clock)
        own = {"loss": value, "gradient_norm": norm(gradient)}
        parts = {"the adapter": own, "the loss": told, "notes": notes(gradient), "look": seen}
        return Fit(learner, carry), joined(parts)

    train = training(start, update, params=learnt)
    return Problem(name, hypers, train, examples.data, config, metric)


def on_the_clock(measure: Callable[[], Row], every: int, clock: Clock) -> Row:
    """Measure after every `every` updates and after the last, {name: f32[]}; NaN otherwise.

    Args:
        measure: what is dear.
        every: updates from one measurement to the next.
        clock: not batched over members, or all of them would measure in every update.

    Returns:
        The row.
    """

    def found() -> Row:
        return dict(measure())

    def nothing() -> Row:
        return {name: jnp.full(x.shape, jnp.nan) for name, x in jax.eval_shape(found).items()}

    done = jnp.asarray(clock.update) + 1
    return jax.lax.cond((done % every == 0) | (done == clock.updates), found, nothing)
