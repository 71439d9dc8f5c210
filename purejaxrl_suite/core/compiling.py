"""Compile: keep programs for the next process, spend little on those that run once, use every core.

JAX has a persistent cache of compiled programs, which is off, and shows all cores of a CPU as one
device. Both are chosen here, unless the user has chosen.
"""

import inspect
import math
import os
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jax.core import Tracer

from purejaxrl_suite.core.argument import integer

LARGEST = 2 * 2**30
"""Bytes of the cache; those programs are deleted first that were not used for the longest time."""
SHORTEST = 0.1
"""Seconds of compiling from which a program is kept: reading one takes hundredths."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Compiler options for a CPU program that runs for milliseconds; it may round otherwise."""
LIGHT = {"xla_backend_optimization_level": 1}
"""The same with the bits of a program that is compiled without options."""


def use_compilation_cache() -> Path | None:
    """Keep compiled programs in a folder of the user, from where the next process reads them.

    `run`, `sweep` and every other call that compiles training does this itself. A folder that was
    chosen by JAX's own setting `jax_compilation_cache_dir` (or JAX_COMPILATION_CACHE_DIR) is left
    alone, with all that belongs to it. JAX_ENABLE_COMPILATION_CACHE=false turns it off.

    Returns:
        The folder: `purejaxrl_suite/jax` in XDG_CACHE_HOME, which is `~/.cache` by default. None if
        the cache is off, or the folder cannot be written.
    """
    if not jax.config.jax_enable_compilation_cache:
        return None
    if jax.config.jax_compilation_cache_dir is not None:
        return Path(jax.config.jax_compilation_cache_dir)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "purejaxrl_suite" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    for name, value in (
        ("jax_compilation_cache_max_size", LARGEST),
        ("jax_persistent_cache_min_compile_time_secs", SHORTEST),
    ):
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def compile_lightly(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compile a program that runs for milliseconds: on a CPU with LIGHT, to the same bits.

    An optimization level in XLA_FLAGS is left alone.
    """
    chosen = "--xla_backend_optimization_level" in os.environ.get("XLA_FLAGS", "")
    light = jax.default_backend() == "cpu" and not chosen
    return lowered.compile(LIGHT if light else None)


def use_cores(count: int | None = None) -> int:
    """Make a CPU device of each core, over which members are spread, before JAX is first used.

    The variable JAX_NUM_CPU_DEVICES does the same. The last bits of a member may depend on the
    number of cores; of PPO, DQN and SAC they do.

    Args:
        count: of devices; None is one for each core that this process may use.

    Returns:
        The number of CPU devices: that of an earlier choice of the user, if count is None.

    Raises:
        ValueError: count is not positive, or JAX was used before.
    """
    if count is None and (chosen := _chosen()) is not None:
        return chosen
    count = cores() if count is None else integer("count", count, 1)
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError:
        raise ValueError(
            "count: expected a call before JAX is first used, which has chosen its devices; "
            f"JAX_NUM_CPU_DEVICES={count} in the environment comes in time, too"
        ) from None
    return count


def _chosen() -> int | None:
    """Return the number of CPU devices that the user has chosen, None without a choice."""
    if jax.config.jax_num_cpu_devices > 0:
        return jax.config.jax_num_cpu_devices
    flag = "--xla_force_host_platform_device_count="
    given = [one for one in os.environ.get("XLA_FLAGS", "").split() if one.startswith(flag)]
    return int(given[-1].removeprefix(flag)) if given else None


def cores() -> int:
    """Count the cores that this process may use: of its affinity, and of its container's quota."""
    if hasattr(os, "sched_getaffinity"):
        known = len(os.sched_getaffinity(0))
    else:
        known = os.cpu_count() or 1
    return max(1, min(known, _quota(Path("/sys/fs/cgroup/cpu.max"))))


def _quota(path: Path) -> int:
    """Read how many cores a container may use at once, rounded up; unlimited without a file."""
    try:
        most, period = path.read_text().split()
    except (OSError, ValueError):
        return 2**31
    return 2**31 if most == "max" else math.ceil(int(most) / int(period))


def quickly[F: Callable[..., Any]](*static: str) -> Callable[[F], F]:
    """Decorate a function of arrays, to be one program wherever it is called outside of a trace.

    Operation by operation it would be tens of programs for every new shape. On a CPU the program is
    compiled with QUICK: such functions run for milliseconds.

    Args:
        *static: names of the parameters that are no arrays.

    Returns:
        The decorator.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @cache
        def program(backend: str) -> Any:
            options = QUICK if backend == "cpu" else None
            return jax.jit(function, static_argnames=static, compiler_options=options)

        @wraps(function)
        def called(*arguments: Any, **named: Any) -> Any:
            given = signature.bind(*arguments, **named).arguments
            if any(isinstance(x, Tracer) for x in jax.tree.leaves(given)):
                return function(**given)
            arrays = {name: _array(x) for name, x in given.items() if name not in static}
            return program(jax.default_backend())(**given | arrays)

        return cast(F, called)

    return decorate


def _array(x: Any) -> Any:
    """Make an array of what may be a list; None stays."""
    return x if x is None or isinstance(x, jax.Array) else np.asarray(x)
