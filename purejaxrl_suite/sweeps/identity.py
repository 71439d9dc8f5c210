"""The identity of an experiment: named parts, and a digest of the program itself.

Named parts can be read and compared (`Layout.identity`). They cannot say what a function does, such
as a network's activation or a user's own step. So the jaxprs of one member's start and of one
update, which training traces anyway, are hashed in a canonical way: primitives, shapes, parameters,
and the bytes of all constants. Names of variables, places in the source, meshes and layouts are
left out; sizes of chunks and segments are not part of them.
"""

import dataclasses
import functools
import hashlib
import os
import types
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from purejaxrl_suite.core.types import Clock, PyTree
from purejaxrl_suite.engine.train import Train
from purejaxrl_suite.sweeps import fleet
from purejaxrl_suite.sweeps.fleet import Members
from purejaxrl_suite.sweeps.layout import Layout
from purejaxrl_suite.sweeps.record import record_of

PROGRAM = "program"
"""The part of an identity that is a digest."""
OF_MEMBERS = "functions of environment, wrappers, network, agent, intervention or metrics differ"
OF_BEGIN = "begin is another function, or holds other numbers"
OF_SELECT = "select is another function, or holds other numbers"
LONG = 160
"""Characters of a value in a message."""
IRRELEVANT = {
    *("name", "debug_info", "mesh", "ctx_mesh", "concrete_mesh", "sharding", "dst_sharding"),
    *("out_sharding", "in_shardings", "out_shardings", "in_layouts", "out_layouts", "ft_in"),
    *("ft_out", "in_tree", "out_tree", "out_trees", "donated_invars", "inline", "keep_unused"),
    "compiler_options_kvs",
}
"""Parameters of primitives that do not change what is computed: places, names, layouts."""


def identity_of(laid: Layout) -> dict[str, Any]:
    """Return the identity of an experiment as JSON: its record, and a digest of each program."""
    record = record_of(laid)
    for known, group in zip(record["groups"], laid.groups, strict=True):
        known[PROGRAM] = digest(group.train, group.members)
        if group.before is not None:
            known["before"] = dict(group.before.told)
    return record


def difference(saved: Mapping[str, Any], ours: Mapping[str, Any], *, programs: bool) -> str | None:
    """Describe the difference of two identities, by name; None if they are equal.

    programs: whether to compare digests (last), which is only valid with equal versions on one kind
    of device.
    """
    theirs, here = flat(saved), flat(ours)
    opaque = [name for name in here if name.rpartition(".")[2] == PROGRAM]
    names = dict.fromkeys((*here, *theirs))
    for name in sorted(names, key=lambda name: ".source." not in name):  # others follow from it
        values = [one.get(name, "missing") for one in (theirs, here)]
        if name not in opaque and values[0] != values[1]:
            there, now = _shortened(*map(str, values))
            return f"{_readable(name, here)} is {there} there, {now} here"
    for name in opaque if programs else ():
        if theirs.get(name) != here[name]:
            what = OF_BEGIN if ".before." in name else OF_MEMBERS
            what = OF_SELECT if "select" in name else what
            return f"all names agree, but {what}"
    return None


def changes(saved: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return {package, or device: [there, here]} of the versions in which two runs differ."""
    theirs, here = map(_makers, (saved, ours))
    return {
        name: [there, here.get(name, "missing")]
        for name, there in theirs.items()
        if here.get(name) != there
    }


def _makers(made_with: Mapping[str, Any]) -> dict[str, str]:
    """Return versions and the kind of device; their number only changes what is stored anyway."""
    device, flags = made_with["device"].partition(" x ")[2], made_with.get("XLA_FLAGS", "")
    return {**made_with["versions"], "device": device, "XLA_FLAGS": flags}


def flat(content: Any, name: str = "") -> dict[str, Any]:
    """Name each value of nested dictionaries and lists of dictionaries: {dotted name: value}."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        content = {str(i): entry for i, entry in enumerate(content)}
    if not isinstance(content, Mapping):
        return {name: content}
    found = {}
    for key, value in content.items():
        found |= flat(value, f"{name}.{key}" if name else key)
    return found


def _readable(name: str, named: Mapping[str, Any]) -> str:
    """Shorten a name by the sweep, and by its group if there is only one."""
    name = name.removeprefix("sweep.")
    several = any(one.removeprefix("sweep.").startswith("groups.1.") for one in named)
    return name if several else name.removeprefix("groups.0.")


def _shortened(*texts: str) -> list[str]:
    """Shorten texts to where they begin to differ."""
    same = len(os.path.commonprefix(texts))
    start = 0 if max(map(len, texts)) <= LONG else max(0, same - LONG // 4)
    return [
        "... " * (start > 0) + text[start : start + LONG] + " ..." * (len(text) > start + LONG)
        for text in texts
    ]


def digest(train: Train, members: Members) -> str:
    """Digest the program of an experiment, as 32 hexadecimal digits.

    It is equal in every process with equal versions on the same kind of device.
    """
    # The state is an argument, as in `compile_fleet`, so that neither function is traced again
    # there.
    found = []

    def trace(function: Any, *arguments: Any) -> PyTree:
        def look(*known: Any) -> PyTree:
            found.append(function.trace(*known).jaxpr)
            return function(*known)

        return fleet.eval_shape(look, *arguments, count=len(members.seeds))

    key, hypers, data = fleet.arguments_of_one(members)
    run = trace(train.init, key, hypers, data)
    trace(train.update, key, hypers, data, run, Clock(np.int32(0), np.int32(1)))
    return digest_of(*found)


def digest_of_function(x: Any) -> str:
    """Digest a function that runs on the host: its code and its closure."""
    return _Walk().value(x).hex()


def digest_of(*jaxprs: core.ClosedJaxpr) -> str:
    """Digest what these jaxprs compute."""
    walk = _Walk()
    return _hash(*(walk.jaxpr(one) for one in jaxprs)).hex()


def _hash(*parts: bytes) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.digest()


class _Walk:
    """One walk over jaxprs; repeated parts are walked once."""

    def __init__(self):
        self.known: dict[int, tuple[Any, bytes]] = {}
        self.functions: set[types.FunctionType] = set()

    def jaxpr(self, found: Any) -> bytes:
        """Digest a jaxpr, closed or open."""
        if id(found) not in self.known:  # the object is kept, so that its id is not reused
            self.known[id(found)] = found, self._jaxpr(found)
        return self.known[id(found)][1]

    def _jaxpr(self, found: Any) -> bytes:
        closed = isinstance(found, core.ClosedJaxpr)
        body = found.jaxpr if closed else found
        numbers: dict[Any, int] = {}
        parts = [self.value(found.consts) if closed else b""]

        def name(variable: Any) -> bytes:
            if isinstance(variable, core.Literal):
                return b"literal" + _array(variable.val) + _type(variable.aval)
            return f"{numbers.setdefault(variable, len(numbers))}:".encode() + _type(variable.aval)

        parts += map(name, (*body.constvars, *body.invars))
        for equation in body.eqns:
            known = {k: x for k, x in equation.params.items() if k not in IRRELEVANT}
            parts += [equation.primitive.name.encode(), self.value(known)]
            parts += [b"from", *map(name, equation.invars), b"to", *map(name, equation.outvars)]
        return _hash(*parts, b"result", *map(name, body.outvars))

    def value(self, x: Any) -> bytes:
        """Digest a parameter of a primitive, without parts that differ between processes."""
        if isinstance(x, core.ClosedJaxpr | core.Jaxpr):
            return self.jaxpr(x)
        if x is None or isinstance(x, str | bytes | bool | int | float | complex):
            return repr(x).encode()
        if isinstance(x, np.ndarray | np.generic | jax.Array):
            return _array(x)
        if isinstance(x, np.dtype | type):
            return str(x).encode()
        if isinstance(x, Mapping):
            rows = sorted((str(key), self.value(entry)) for key, entry in x.items())
            return _hash(*(part for key, entry in rows for part in (key.encode(), entry)))
        return _hash(type(x).__qualname__.encode(), *self._parts(x))

    def _parts(self, x: Any) -> list[bytes]:
        """Return the parts of a composite value; the name of an opaque one."""
        if isinstance(x, tuple | list):
            return [self.value(entry) for entry in x]
        if isinstance(x, frozenset | set):
            return sorted(map(self.value, x))
        if isinstance(x, functools.partial):
            return [self.value(x.func), self.value(x.args), self.value(x.keywords)]
        if hasattr(x, "weak_type") and hasattr(x, "shape"):
            return [_type(x)]
        if isinstance(x, types.MethodType):
            return [self.value(x.__func__)]
        if isinstance(x, types.FunctionType):
            return self._function(x)
        if dataclasses.is_dataclass(x):
            return [self.value(getattr(x, one.name)) for one in dataclasses.fields(x)]
        name = getattr(x, "__qualname__", None) or getattr(x, "name", None)
        return [name.encode()] if isinstance(name, str) else []

    def _function(self, x: types.FunctionType) -> list[bytes]:
        """Return name, code and closure of a function that the program calls back."""
        name = x.__qualname__.encode()
        if x.__module__.partition(".")[0] in ("jax", "jaxlib") or x in self.functions:
            return [name]
        self.functions.add(x)
        cells = [cell.cell_contents for cell in x.__closure__ or ()]
        return [name, *_code(x.__code__), self.value((x.__defaults__, x.__kwdefaults__, cells))]


def _code(x: types.CodeType) -> list[bytes]:
    parts = [x.co_code, *(name.encode() for name in x.co_names)]
    for one in x.co_consts:
        parts += _code(one) if isinstance(one, types.CodeType) else [repr(one).encode()]
    return parts


def _type(aval: Any) -> bytes:
    weak = "~" * bool(getattr(aval, "weak_type", False))
    return f"{getattr(aval, 'dtype', aval)}{getattr(aval, 'shape', '')}{weak}".encode()


def _array(x: Any) -> bytes:
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return _hash(str(x.dtype).encode(), _array(jax.random.key_data(x)))
    plain = np.asarray(x)
    kind = f"{plain.dtype}{plain.shape}".encode()
    return _hash(kind, np.ascontiguousarray(plain).tobytes())
