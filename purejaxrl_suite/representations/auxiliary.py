"""Auxiliary losses: any agent's builder, with a term of its loss that shapes its representation.

The weight of the term is a hyper-parameter, so it may be swept and annealed in one program, and is
part of what a run records. With a weight of 0 an agent learns as the one inside does.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, Protocol

from purejaxrl_suite.agents.shared import extra_losses
from purejaxrl_suite.core import joined
from purejaxrl_suite.core.argument import function, instance
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Environment,
    ExtraLoss,
    LossInputs,
    Network,
)
from purejaxrl_suite.core.validate import Range

Told = tuple[Array, dict[str, Array]]
"""(term f32[], {name: f32[]})."""


class Auxiliary(NamedTuple):
    """A term that shapes a representation; made by functions such as `mico`.

    name: with all settings, for messages and run folders. kind: of its hyper-parameter,
    `KIND_weight`. weight: its default. loss: LossInputs -> (f32[], metrics), without the weight.
    check: raises ValueError for an agent that it does not fit. extend: the agent -> its network
    with parameters that the term has of its own, under `aux`; None without any.
    """

    name: str
    kind: str
    weight: float
    loss: Callable[[LossInputs], Told]
    check: Callable[[Agent], None]
    extend: Callable[[Agent], Network] | None = None


class AuxiliaryHypers(NamedTuple):
    """Weights of auxiliary terms; an agent has those of its terms.

    mico_weight: of the MICo loss. ksme_weight: of the KSMe loss. dynamics_weight: of the loss of a
    classifier of transitions.
    """

    mico_weight: Annotated[Any, Range(0)] = 0.01
    ksme_weight: Annotated[Any, Range(0)] = 0.01
    dynamics_weight: Annotated[Any, Range(0)] = 1.0


class AuxiliaryBuilder(Protocol):
    """Builds agents with an auxiliary term, with the arguments of the builder inside."""

    def __call__(
        self,
        env: Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        **more: Any,
    ) -> Agent:
        """The agent."""
        ...


def auxiliary(builder: Any, term: Auxiliary) -> AuxiliaryBuilder:
    """Make the builder of agents that minimise an auxiliary term beside their own loss.

    Its agents have the Hypers of the agent inside and the weight of the term, `mico_weight` of
    `mico()`, so weights may be swept in one program. Terms may be nested.

    The papers of MICo and KSMe minimise (1 - a) L + a L_term. That is (1 - a) times L + w L_term
    with w = a / (1 - a), and Adam divides the factor out, but for its epsilon.

    Args:
        builder: (env, config, network, hypers, extra_loss) -> Agent, such as `dqn`.
        term: such as `representations.mico()`.

    Returns:
        The builder, with the same arguments, for `run`, `sweep`, `sparse` and studies.

    Raises:
        ValueError: an argument is of another kind, or has the term already; from the builder, if
            the term does not fit the agent's network.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> build = pjs.auxiliary(pjs.dqn, pjs.representations.mico())
        >>> build(env).hypers.mico_weight
        0.01
    """
    function("builder", builder, 4, "(env, config, network, hypers) -> Agent")
    instance("term", term, Auxiliary)
    own = ((f"{term.kind}_weight", term.weight),)

    def build(
        env: Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        **more: Any,
    ) -> Agent:
        inner = joined.of_agent(hypers, AuxiliaryHypers)
        other = more.get("extra_loss")
        extra_losses.check(other)
        more["extra_loss"] = extra_losses.both(_weighted(term), other)
        agent = builder(env, config, network, inner, **more)
        term.check(agent)
        if term.extend is not None:
            agent = builder(env, config, term.extend(agent), inner, **more)
        return agent._replace(
            name=f"{agent.name} with {term.name}",
            hypers=joined.joined(agent.hypers, AuxiliaryHypers, own, "Auxiliary", hypers),
        )

    build.__annotations__ |= joined.annotations(builder, AuxiliaryHypers, own, "Auxiliary")
    return build


def _weighted(term: Auxiliary) -> ExtraLoss:
    """Multiply a term by its weight in the Hypers in force."""

    def weighted(inputs: LossInputs) -> Told:
        found, metrics = term.loss(inputs)
        return getattr(inputs.hypers, f"{term.kind}_weight") * found, metrics

    return weighted
