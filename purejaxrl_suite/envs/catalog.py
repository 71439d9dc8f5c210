"""Make environments of all families by id.

The prefix of an id tells its family, which is imported only when needed.
"""

import difflib
import importlib
import inspect
from types import ModuleType
from typing import Any

from purejaxrl_suite.core import plugins
from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.core.plugins import ENVIRONMENTS, installed
from purejaxrl_suite.core.types import Environment
from purejaxrl_suite.envs import gymnax
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.envs.recipe import called

_FAMILIES = {
    "Navix-": "navix",
    "MiniGrid-": "minigrid",
    "Brax-": "brax",
    "Playground-": "playground",
    "Credit-": "credit",
    "STEM-": "silicon",
    "gymnasium:": "gymnasium",
    "minigrid:": "minigrid_host",
    "miniworld:": "miniworld",
    "ALE/": "atari",
    "Meta-World/": "metaworld",  # before its prefix
    "Meta-": "lifetimes",
}


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes, by family; those of installed plugins come last."""
    families = [gymnax, *(_load(name) for name in _FAMILIES.values())]
    return (*(id for family in families for id in family.ids()), *installed(ENVIRONMENTS))


def make(id: str, **options: Any) -> Environment:
    """Make an environment by its id.

    Args:
        id: a gymnax id (`"CartPole-v1"`), a navix id (`"Navix-DoorKey-8x8-v0"`), a MiniGrid id
            (`"MiniGrid-DoorKey-8x8-v0"`), a task of credit assignment (`"Credit-KeyToDoor"`), a
            silicon atom under a beam (`"STEM-Silicon-v0"`), one of the extras: `"Brax-ant"`,
            `"Playground-CartpoleSwingup"`, `"ALE/Pong"`, `"Meta-World/MT10"`; or an id of Gymnasium
            or of MiniGrid as released, played on the host (`"gymnasium:CartPole-v1"`,
            `"minigrid:BabyAI-GoToObj-v0"`); or the name of an entry
            point of an installed package, in the group `purejaxrl_suite.environments`, whose value
            is a function that returns an environment. Several ids joined by "+" are the tasks of
            one environment (`multi_task`).
        **options: settings of the environment; see `make` of its family.

    Returns:
        The environment.

    Raises:
        ValueError: the id is unknown (the nearest are named), or an option unknown or malformed.

    Example:
        >>> env = pjs.make("CartPole-v1", length=1.0)
        >>> env.action.n, float(env.params.length)
        (2, 1.0)
    """
    if "+" in str(id):
        if not all(one.strip() for one in id.split("+")):
            raise wrong("id", "ids of environments with a + between each two", id)
        return multi_task([make(one, **options) for one in id.split("+")])
    family = _family(id)
    known = getattr(family, "takes", lambda id: False)(id) or id in family.ids()
    if known or id in getattr(family, "REFUSED", {}):
        _refuse_unknown(id, options, family)
        return family.make(id, **options)
    if id in (others := installed(ENVIRONMENTS)):
        made = plugins.called(f"id: {id}", others[id], Environment, **options)
        return made if made.recipe else made._replace(recipe=(called("make", id, **options),))
    lower = {known.lower(): known for known in ids()}
    nearest = difflib.get_close_matches(str(id).lower(), lower, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(lower[name] for name in nearest)}?" if nearest else "see ids()"
    raise ValueError(f"id: there is no environment {id!r}; {hint}")


def has_family(id: str) -> bool:
    """Tell whether the prefix of an id is that of a family; if not, it may be gymnax's."""
    return any(id.startswith(prefix) for prefix in _FAMILIES)


def _family(id: str) -> ModuleType:
    """Import the module of the id's family, by its prefix."""
    names = [name for prefix, name in _FAMILIES.items() if str(id).startswith(prefix)]
    return _load(names[0]) if names else gymnax


def _refuse_unknown(id: str, options: dict[str, Any], family: ModuleType) -> None:
    """Raise ValueError for an option that `family` does not take; gymnax checks its own, by id."""
    _, *parameters = inspect.signature(family.make).parameters.values()
    unknown = sorted(set(options) - {parameter.name for parameter in parameters})
    if unknown and all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
        names = [parameter.name for parameter in parameters]
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {names}")


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"purejaxrl_suite.envs.{name}")
