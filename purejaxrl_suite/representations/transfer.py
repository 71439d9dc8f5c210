"""Begin with the representation of another agent, as linear agents on proto-values do."""

from typing import Any

from purejaxrl_suite.core.tree import named
from purejaxrl_suite.core.types import Key, PyTree, Run

HEADS = "heads"


def begin_with_features(key: Key, before: Run, fresh: Run) -> Run:
    """Give a fresh member the representation of one trained before; its heads are its own.

    It is the `begin` of a `Stage`; with `nets.frozen` the representation stays what it is. The
    target network of the agent, if it has one, gets it, too.

    Args:
        key: not used.
        before: the trained member; its network has the same parameters but for heads.
        fresh: the member that begins.

    Returns:
        The member.

    Raises:
        ValueError: the parameters differ in their names or shapes.
    """
    learner: Any = before.agent.learner
    state: Any = fresh.agent
    params = _with_features(state.learner.params, learner.params)
    state = state._replace(learner=state.learner._replace(params=params))
    if getattr(state, "target", None) is not None:
        state = state._replace(target=_with_features(state.target, learner.params))
    return fresh._replace(agent=state)


def _with_features(params: PyTree, features: PyTree) -> PyTree:
    """Replace all of the parameters but those of heads."""
    own, other = ({n: x for n, x in one.items() if n != HEADS} for one in (params, features))
    shapes = [_shapes(one) for one in (own, other)]
    if shapes[0] != shapes[1]:
        text = "expected the parameters of the network before it but for heads"
        raise ValueError(f"network: {text}, {shapes[1]}, got {shapes[0]}")
    return {**other, HEADS: params[HEADS]}


def _shapes(params: PyTree) -> dict[str, Any]:
    return {name: tuple(x.shape) for name, x in named(params).items()}
