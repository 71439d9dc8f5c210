"""`stages`: train stages that users wrote, one after the other, in one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.arguments import call, told
from purejaxrl_suite.cli.ends import training
from purejaxrl_suite.cli.flags import prepare
from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.core.plugins import find


def stages(arguments: list[str]) -> int:
    """Train stages in sequence: purejaxrl-suite stages MODULE:STAGES, again to go on"""
    import tyro

    def command(
        parts: Annotated[str, tyro.conf.Positional],
        out: Path | None = None,
        segments: int = 20,
        memory: str | None = None,
        accept_changes: bool = False,
    ) -> int:
        """Train each stage from the final states of the one before it; the same command resumes.

        Args:
            parts: package.module:name of the stages, a list of `pjs.Stage`, or of a function that
                returns one.
            out: the folder, with a folder for each stage; by default runs/stages-NAME.
            segments: of every stage; what is finished of them is saved.
            memory: that members may take at once, such as 8GiB.
            accept_changes: resume with other versions, or another kind of device, than before.
        """
        where = out or Path("runs") / f"stages-{parts.rpartition(':')[2]}"
        how = {"segments": segments, "memory": memory, "accept_changes": accept_changes}
        return _train(parts, where, how)

    return call(command, "stages", arguments)


def _train(reference: str, out: Path, how: dict[str, Any]) -> int:
    from purejaxrl_suite.sweeps.stages import stages as train

    prepare()
    parts = _parts(reference)
    words = [word for name, x in how.items() for word in _flag(name, x)]
    with training(out, told("stages", reference, "--out", out, *words)) as ended:
        ended.result = train(*parts, out=out, announce=ended.announce, **how)
    if ended.code:
        return ended.code
    for name, result in ended.result.results.items():
        print(f"Stage {name}")
        folder.show(out / name, result.curves)
    folder.write_figures(out, ended.result.curves)
    print(f"Written to {out}")
    return 0


def _flag(name: str, value: Any) -> list[str]:
    """Write a flag that differs from its default."""
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    default = name == "segments" and value == 20
    return [] if default or value in (None, False) else [flag, str(value)]


def _parts(reference: str) -> Sequence[Any]:
    """Import the stages; `pjs.stages` checks each of them."""
    found = find("stages", reference)
    made = found() if callable(found) else found
    if not isinstance(made, list | tuple) or hasattr(made, "_fields"):
        raise wrong(f"stages: {reference}", "a list of Stage, or a function that returns one", made)
    return made
