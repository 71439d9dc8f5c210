"""What growing costs: steps per second and memory against members, environments and width.

    python -m benchmarks.growth --axes members --core 1
    python -m benchmarks.growth --axes num_envs width --core 1

PPO on CartPole at the settings of PureJaxRL, one number changed at a time: how many members train
side by side, how many environments each of them has, how wide the two hidden layers of actor and
critic are. Axes that are not asked for stay in the file as they were. On a CPU seconds are the
process's own, as in `peers`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.throughput import measure_agent

AXES = {
    "members": (1, 4, 16, 64, 256, 1024, 4096, 16384),
    "num_envs": (1, 4, 16, 64, 256, 1024, 4096),
    "width": (16, 32, 64, 128, 256, 512, 1024),
}
LABELS = {
    "members": "members",
    "num_envs": "environments of a member",
    "width": "units of a hidden layer",
}
RESULTS = Path("benchmarks/results")


def point(axis: str, value: int, seconds: float, rounds: int) -> dict[str, Any]:
    """PPO on CartPole with one number changed."""
    from benchmarks import contestants, reference

    settings = reference.PPO_CARTPOLE
    if axis == "num_envs":
        settings = settings._replace(num_envs=value)
    if axis == "width":
        settings = settings._replace(widths=(value, value))
    members = value if axis == "members" else 1
    found = measure_agent(*contestants.ppo_at(settings), members, seconds, rounds)
    return {"axis": axis, "value": value, "members": members} | found


def picture(data: dict[str, Any], path: Path) -> None:
    """Speed above, memory below, an axis in each column."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = [axis for axis in AXES if any(row["axis"] == axis for row in data["rows"])]
    size = (4.2 * len(axes), 6)
    shape = {"sharex": "col", "squeeze": False, "figsize": size, "layout": "constrained"}
    figure, panels = plt.subplots(2, len(axes), **shape)
    for column, axis in enumerate(axes):
        rows = [row for row in data["rows"] if row["axis"] == axis]
        x = [row["value"] for row in rows]
        upper, lower = panels[0, column], panels[1, column]
        speeds = [harness.speed(row, data["context"]) for row in rows]
        upper.plot(x, [speed / 1e3 for speed in speeds], "o-")
        lower.plot(x, [row["peak_bytes"] / 1e6 for row in rows], "o-", color="C1")
        # Less than a decade on a logarithmic axis would show little but noise.
        upper.set(xscale="log", yscale="log" if max(speeds) > 10 * min(speeds) else "linear")
        if upper.get_yscale() == "linear":
            upper.set_ylim(0, 1.05 * max(speeds) / 1e3)
        lower.set(xscale="log", yscale="log", xlabel=LABELS[axis])
        for panel in (upper, lower):
            panel.grid(alpha=0.3)
    panels[0, 0].set_ylabel("thousand environment steps / s")
    panels[1, 0].set_ylabel("memory of the program, MB")
    where = data["context"]
    figure.suptitle(f"PPO on CartPole, {where['device']} ({where['cpu']})", fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def parse() -> argparse.Namespace:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--axes", nargs="+", choices=list(AXES), default=list(AXES))
    parser.add_argument("--largest", type=int, default=4096, help="of the values of an axis")
    parser.add_argument("--seconds", type=float, default=2.0, help="of one call")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, help="growth-cpu.json or -gpu.json of the results")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.pin(arguments.core)
    context = harness.context()
    out = arguments.out or RESULTS / f"growth-{context['backend']}.json"
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    rows = [row for row in rows if row["axis"] not in arguments.axes]
    data = {"context": context, "rows": rows}
    for axis in arguments.axes:
        for value in (value for value in AXES[axis] if value <= arguments.largest):
            row = point(axis, value, arguments.seconds, arguments.rounds)
            rows.append(row)
            harness.write_json(out, data)
            print(
                f"{axis:9} {value:6} {harness.speed(row, context):13,.0f} steps/s"
                f" {row['peak_bytes'] / 1e6:10,.1f} MB {row['compile_seconds']:6.1f} s to compile",
                flush=True,
            )


if __name__ == "__main__":
    main()
