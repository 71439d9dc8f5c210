"""Everything that an accelerator is asked, the most important first, in one call.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --seconds 60 --small

Each benchmark is a process of its own and writes what it has found after every row, so that one
that is stopped at its limit keeps what it had. The whole takes at most `--seconds`; what did not
fit is said at the end.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

RESULTS = Path("benchmarks/results")


class Benchmark(NamedTuple):
    """module: of this package. arguments: of its command line. small: instead, to try it out.

    share: of the time that is left when it starts.
    """

    module: str
    arguments: tuple[str, ...]
    small: tuple[str, ...]
    share: float


PEERS = ("--rounds", "3", "--core", "-1", "--jobs")
BENCHMARKS = (
    Benchmark("headline", (), ("--members", "2", "--steps", "4e3"), 0.4),
    Benchmark(
        "peers",
        (
            *PEERS,
            "ppo-cartpole",
            "ppo-cartpole-64",
            "ppo-cartpole-2048",
            "ppo-breakout",
            "pqn-breakout",
            "navix-doorkey-view",
        ),
        ("--rounds", "1", "--scale", "0.01", "--core", "-1", "--jobs", "ppo-cartpole"),
        0.5,
    ),
    Benchmark(
        "throughput",
        ("--gpu",),
        ("--members", "1", "--envs", "CartPole-v1", "--policies", "random", "--seconds", "0.1"),
        0.5,
    ),
    Benchmark(
        "roofline",
        ("--members", "1", "256", "2048"),
        ("--jobs", "ppo-cartpole", "--members", "1", "--steps", "1e3", "--rounds", "1"),
        0.8,
    ),
    Benchmark(
        "trace",
        ("--jobs", "ppo-cartpole", "--members", "1", "2048"),
        ("--jobs", "ppo-cartpole", "--members", "1", "--updates", "2"),
        0.6,
    ),
    Benchmark(
        "growth",
        ("--axes", "members", "--largest", "16384", "--seconds", "0.5", "--rounds", "1"),
        ("--axes", "members", "--largest", "1", "--seconds", "0.05", "--rounds", "1"),
        1.0,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=520, help="for all of it")
    parser.add_argument("--small", action="store_true", help="the smallest sizes, to try it out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    end, unfinished = time.monotonic() + arguments.seconds, []
    for one in BENCHMARKS:
        out = arguments.out / f"{one.module}-gpu.json"
        options = one.small if arguments.small else one.arguments
        command = [sys.executable, "-m", f"benchmarks.{one.module}", *options, "--out", str(out)]
        limit = one.share * max(0.0, end - time.monotonic())
        print(f"{one.module}: at most {limit:.0f} s", flush=True)
        try:
            code = subprocess.run(command, timeout=limit, check=False).returncode
        except subprocess.TimeoutExpired:
            code = "stopped at its limit"
        if code:
            unfinished.append(f"{one.module} ({code})")
    if unfinished:
        sys.exit("not finished: " + ", ".join(unfinished))


if __name__ == "__main__":
    main()
