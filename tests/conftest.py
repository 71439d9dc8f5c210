"""Strict settings for every test: no silent broadcasts, one compilation cache, no accelerator."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of what these tests take is compiling programs that then run for milliseconds.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    # Emitting fusions through MLIR takes three quarters of what is then left. Without it, programs
    # that are compiled in parts round alike operations differently, by the part that they are in.
    " --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
    " --xla_cpu_parallel_codegen_split_count=1",
)

import jax  # noqa: E402
import pytest  # noqa: E402

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "jax"

# Traces make many small objects and few cycles: looking for those at every 700 takes long.
gc.set_threshold(200_000, 20, 20)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
# Programs that name the lines of source of every operation are larger, and nobody reads these.
jax.config.update("jax_traceback_in_locations_limit", 0)


def pytest_collection_finish() -> None:
    """What is imported by now stays: nobody has to look for cycles in it again."""
    gc.freeze()


@pytest.fixture(scope="module")
def programs():
    """Compile once what several tests of a module train."""
    from benchmarks import kill

    with kill.shared_programs():
        yield
