"""`render`: show trained members at play."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.arguments import call, output_file
from purejaxrl_suite.core.argument import integer


def render(arguments: list[str]) -> int:
    """Write a GIF of what was trained, acting: purejaxrl-suite render RUN [--seeds 4]"""
    import tyro

    def command(
        run: Annotated[Path, tyro.conf.Positional],
        config: tuple[str, ...] = (),
        seeds: int = 4,
        steps: int = 200,
        explore: bool = False,
        out: Path | None = None,
    ) -> None:
        """Write a GIF of trained members acting, one episode each, side by side.

        For brax it is an HTML page with brax's viewer, of the first member.

        Args:
            run: the folder of a run or sweep; it may still be running.
            config: for a sweep, NAME=VALUE ... of what was varied; the best configuration that
                fits is shown.
            seeds: how many members.
            steps: the most that are shown.
            explore: act as in training; greedily by default.
            out: the file to write; policy.gif or policy.html in the folder by default.
        """
        from purejaxrl_suite import report
        from purejaxrl_suite.cli.load import load

        integer("--seeds", seeds, 1)
        integer("--steps", steps, 1)
        output_file("--out", out, (".gif", ".html"))
        result, _ = folder.read(run, load)
        chosen = choose(result.curves, config)
        shown = result.layout.seeds[:seeds]
        folder.check_writable(run if out is None else out.parent)
        policies = [result.policy(chosen.at, seed) for seed in shown]
        if report.has_viewer(policies[0].env.name):
            path = out or run / "policy.html"
            returns = [report.view(policies[0], path, steps=steps, explore=explore)]
        else:
            path = out or run / "policy.gif"
            names = [f"seed {seed}" for seed in shown]
            returns = report.animate(policies, path, names=names, steps=steps, explore=explore)
        print(f"{chosen.label} on {chosen.environment}, returns", *(f"{x:.3g}" for x in returns))
        print(f"Written to {path}")

    call(command, "render", arguments)
    return 0


def choose(curves: Any, wanted: Sequence[str]) -> Any:
    """Find the best configuration with the settings NAME=VALUE."""
    from purejaxrl_suite.report.configurations import configurations, main_metric
    from purejaxrl_suite.report.ranking import rank

    found = configurations(curves)
    for text in wanted:
        name, separator, value = text.partition("=")
        known = {"environment": [one.environment for one in found]} | {
            key: [one.settings[key] for one in found] for key in found[0].settings
        }
        if not separator or name not in known:
            raise ValueError(f"--config: expected NAME=VALUE of {', '.join(known)}, got {text!r}")
        fitting = [one for one, x in zip(found, known[name], strict=True) if _same(value, x)]
        if not fitting:
            values = ", ".join(dict.fromkeys(str(x) for x in known[name]))
            raise ValueError(f"--config: {name} was trained at {values}, not at {value}")
        found = fitting
    best = rank(found, main_metric(found)).scores[0]
    return next(one for one in found if one.at == best.at)


def _same(text: str, value: Any) -> bool:
    """Tell whether a value is the typed one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text == str(value)
    try:
        return float(text) == value
    except ValueError:
        return False
