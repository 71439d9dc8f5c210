"""The flags `--auxiliary.*`: an auxiliary loss of any agent, by the name of a term."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.cli.made import Made, numbers
from purejaxrl_suite.core.argument import one_of

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Builder
    from purejaxrl_suite.representations import Auxiliary


class AuxiliaryFlags(NamedTuple):
    """An auxiliary loss, which shapes the agent's representation; none without a term.

    Attributes:
        term: mico, ksme or dynamics; docs/representations.md says what they are.
        weight: of the term; in a sweep several, VALUE,VALUE ..., as an axis of one program.
        layer: whose features they are: actor, critic, or a name such as trunk/dense_0; by default
            the last of the critic's encoder.
        shuffled_rewards: rewards are permuted in each batch, as a control.
    """

    term: str | None = None
    weight: str | None = None
    layer: str | None = None
    shuffled_rewards: bool = False

    def given(self) -> dict[str, Any]:
        """Return the flags that are given, by name."""
        return {name: x for name, x in self._asdict().items() if x not in (None, False)}


def terms() -> "dict[str, Callable[..., Auxiliary]]":
    """Return what makes each term, by name."""
    from purejaxrl_suite import representations

    return {
        "mico": representations.mico,
        "ksme": representations.ksme,
        "dynamics": representations.dynamics,
    }


def auxiliary(flags: AuxiliaryFlags, build: "Builder", hypers: Any, *, several: bool) -> Made:
    """Make a builder of agents with the flags' term; the builder itself where none is given.

    Args:
        flags: as given.
        build: of the agents inside.
        hypers: of the agent inside.
        several: whether the weight may have several values.

    Returns:
        The builder, with the Hypers of its agents.

    Raises:
        ValueError: a flag is wrong, or has no effect with the others.
    """
    given = flags.given()
    if not given:
        return Made(build, hypers)
    if flags.term is None:
        raise ValueError(f"{_flag(next(iter(given)))}: expected an --auxiliary.term with it")
    from purejaxrl_suite import representations
    from purejaxrl_suite.core.joined import joined

    make = terms()[one_of("--auxiliary.term", flags.term, terms())]
    takes = inspect.signature(make).parameters
    for name in given.keys() - takes - {"term", "weight"}:
        raise ValueError(
            f"{_flag(name)}: expected none with {flags.term}, which has no such setting"
        )
    term = make(**{name: x for name, x in given.items() if name in takes})
    name, weights = f"{term.kind}_weight", [term.weight]
    if flags.weight is not None:
        weights = numbers(_flag("weight"), flags.weight, several, low=0)
    own = ((name, term.weight),)
    kept = joined(hypers, representations.AuxiliaryHypers, own, "Auxiliary")
    return Made(
        build=representations.auxiliary(build, term),
        hypers=kept._replace(**{name: weights[0]}),
        grid=(f"{name}={flags.weight}",) if len(weights) > 1 else (),
        told={} if flags.weight is None else {name: _flag("weight")},
    )


def _flag(name: str) -> str:
    return f"--auxiliary.{name.replace('_', '-')}"
