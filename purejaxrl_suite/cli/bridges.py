"""Names of bridges between encoder and trunk: `pool:2`, `soft-moe:8` ..."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from purejaxrl_suite.nets import Bridge


def bridges() -> dict[str, tuple[Callable[[int], "Bridge"], int | None]]:
    """Return {name: (number -> bridge, default number)}; None: the bridge takes no number.

    The number is the size of the pooled map, or the number of experts.
    """
    import jax.numpy as jnp

    from purejaxrl_suite import nets

    def of_experts(
        router: Callable[[], nets.Router], place: Callable[[nets.Router, int], "Bridge"]
    ):
        return lambda experts: place(router(), experts)

    return {
        "flatten": (lambda _: nets.flatten(), None),
        "pool": (nets.pool, 1),
        "token-sum": (lambda _: nets.tokenised(jnp.sum), None),
        "token-mean": (lambda _: nets.tokenised(jnp.mean), None),
        "soft-moe": (of_experts(nets.soft, nets.mixture), 4),
        "top-1": (of_experts(nets.top_k, nets.mixture), 4),
        "expert-choice": (of_experts(nets.expert_choice, nets.mixture), 4),
        "soft-moe-penultimate": (of_experts(nets.soft, nets.penultimate), 4),
        "soft-moe-final": (of_experts(nets.soft, nets.final), 4),
        "soft-moe-everywhere": (of_experts(nets.soft, nets.everywhere), 4),
        "soft-moe-big": (of_experts(nets.soft, nets.big), 4),
    }


def bridge(text: str) -> "Bridge":
    """Make the bridge called `NAME` or `NAME:NUMBER`; ValueError for any other text."""
    known = bridges()
    name, colon, number = text.partition(":")
    if name not in known:
        raise ValueError(f"--network.bridge: expected one of {', '.join(known)}, got {name!r}")
    build, default = known[name]
    if colon and (default is None or not number.isdecimal()):
        expected = "no number" if default is None else "a number"
        raise ValueError(f"--network.bridge: expected {expected} behind {name}, got {number!r}")
    return build(int(number) if colon else default or 0)
