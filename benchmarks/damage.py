"""Damage every file of what training left, read it back, and count what nobody noticed.

    python -m benchmarks.damage --each 50

A finished sweep, an unfinished one, a finished and an unfinished population, and a saved policy are
copied, and in the copy one file is damaged: one bit flipped, cut off, or deleted. Each file is so
often: once it is deleted, two of three other times a bit flips. Then everything
that reads the folder does: what `report` and `export` show, the final states, going on. The numbers
are the same ("unchanged": the damage was to what no number needs), or an error names the file, or
names it not, or nothing was said and a number is another ("silent"). There must be none of the last
two.
"""

import argparse
import functools
import itertools
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import harness, kill

RESULTS = Path(__file__).parent / "results" / "damage-cpu.json"
KINDS = "flip", "cut", "delete"
OUTCOMES = "unchanged", "named", "unnamed", "silent"


Reader = Callable[[Path], dict[str, Any]]


class Case(NamedTuple):
    """A folder, and the readers of it: (folder) -> {name: numbers}."""

    name: str
    folder: Path
    readers: tuple[Reader, ...]


def damage(path: Path, kind: str, draw: random.Random) -> None:
    """Flip one bit of a file, cut it off at a random place, or delete it."""
    content = bytearray(path.read_bytes())
    path.unlink()  # a link to the file that is copied: that one stays as it is
    if kind == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif kind == "flip":
        place = draw.randrange(8 * len(content))
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)


def attempts(path: Path, each: int) -> Iterator[str]:
    """Kinds of damage to a file, `each` in all: one deletion, and two flips for every cut."""
    yield "delete"
    if path.stat().st_size:
        yield from itertools.islice(itertools.cycle(("flip", "cut", "flip")), each - 1)


def try_one(reader: Reader, folder: Path, damaged: str, expected: dict[str, Any]) -> str:
    """What a reader makes of a folder with one damaged file."""
    try:
        found = reader(folder)
    except (ValueError, OSError) as error:
        return "named" if damaged in str(error) else f"unnamed: {type(error).__name__}: {error}"
    except Exception as error:
        return f"unnamed: {type(error).__name__}: {error}"
    return "unchanged" if same(found, expected) else "silent"


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether all numbers are the same to the last bit."""
    import numpy as np

    return list(a) == list(b) and all(
        np.asarray(a[n]).dtype == np.asarray(b[n]).dtype
        and np.asarray(a[n]).tobytes() == np.asarray(b[n]).tobytes()
        for n in a
    )


def kind_of(path: str) -> str:
    """What a file is: its path, without what is counted or drawn in it."""
    path = re.sub(r"\b[0-9a-f]{32}\b", "DATA", path)
    return re.sub(r"(?<![a-z])\d+", "N", path)


def run_case(case: Case, each: int, few: int | None, seed: int) -> Iterator[dict[str, Any]]:
    """Outcomes of each file: {"case", "file", "kind", "reader", "outcome"}.

    few: of files that are alike so many; None takes all.
    """
    draw = random.Random(seed)
    expected = [reader(copy_of(case.folder)) for reader in case.readers]
    taken: Counter[str] = Counter()
    for path in sorted(path for path in case.folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(case.folder))
        taken[kind_of(name)] += 1
        if few is not None and taken[kind_of(name)] > few:
            continue
        for kind in attempts(path, each):
            state = draw.getstate()
            for reader, right in zip(case.readers, expected, strict=True):
                copy = copy_of(case.folder)
                draw.setstate(state)  # each reader sees the same damage
                damage(copy / name, kind, draw)
                outcome = try_one(reader, copy, str(copy / name), right)
                yield {
                    "case": case.name,
                    "file": kind_of(name),
                    "kind": kind,
                    "reader": reader.__name__,
                    "outcome": outcome,
                }


def copy_of(folder: Path) -> Path:
    """A copy to damage, in the place of the one before."""
    copy = folder.parent / "damaged" / folder.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, copy_function=os.link)
    return copy


def make_cases(folder: Path) -> list[Case]:
    """Train what is damaged later, in a folder."""
    import purejaxrl_suite as pjs

    agent, env = make_agent()
    builder, quiet = lambda *_: agent, {"progress": False}
    common = quiet | {
        "hypers": pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-2]),
        "seeds": 1,
        "steps": 32 * 6,
        "segments": 3,
        "keep": 1,
    }
    select = pjs.population_based_training({"learning_rate": (1e-4, 1e-1)})
    cases = []
    for name, call in (
        ("sweep", functools.partial(pjs.sweep, builder, env)),
        ("population", functools.partial(pjs.evolve, builder, env, select=select, rungs=[1, 2])),
    ):
        call = functools.partial(call, **common)
        result = call(out=folder / name)
        resume = going_on(call)
        cases.append(Case(name, folder / name, (shown, resume)))
        with suppress(KeyboardInterrupt):
            call(out=folder / f"stopped {name}", on_segment=stop)
        readers = (so_far(result.layout), resume) if name == "sweep" else (resume,)
        cases.append(Case(f"stopped {name}", folder / f"stopped {name}", readers))
    result.policy({"configuration": 0}).save(folder / "policy")
    return [*cases, Case("policy", folder / "policy", (loaded(agent, env),))]


def make_agent() -> tuple[Any, Any]:
    """What is trained: as little as possible."""
    import purejaxrl_suite as pjs
    from purejaxrl_suite import nets
    from purejaxrl_suite.envs import probes

    env = probes.delayed_reward()
    network = nets.actor_critic(env.observation, env.action, hidden=(4,))
    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    return pjs.ppo(env, config, network, pjs.PPOHypers()), env


def stop(progress: Any) -> None:
    """Stop training after two of three segments."""
    if progress.update == 4:
        raise KeyboardInterrupt


def going_on(call: Callable[..., Any]) -> Reader:
    """What `resume` gives in the end."""

    def resume(path: Path) -> dict[str, Any]:
        return numbers(call(resume=path))

    return resume


def so_far(laid: Any) -> Reader:
    """What `report` and `export` read of an unfinished sweep."""
    from purejaxrl_suite.sweeps.stored import stored

    def report_so_far(path: Path) -> dict[str, Any]:
        return numbers_of(stored(laid, path).result.curves)

    return report_so_far


def loaded(agent: Any, env: Any) -> Reader:
    """The numbers of a saved policy."""
    import jax

    import purejaxrl_suite as pjs

    def load_policy(path: Path) -> dict[str, Any]:
        found = pjs.load_policy(path, agent, env)
        leaves = jax.tree_util.tree_flatten_with_path((found.state, found.hypers))[0]
        return {jax.tree_util.keystr(where): jax.device_get(leaf) for where, leaf in leaves}

    return load_policy


def shown(path: Path) -> dict[str, Any]:
    """What `report` and `export` read of a finished run."""
    from purejaxrl_suite.sweeps import curves, files

    files.read_json(path / "config.json")
    return numbers_of(curves.read(path / "curves.zarr"))


def numbers(result: Any) -> dict[str, Any]:
    """Curves but for their speed, and final states, of a result."""
    import jax

    found = numbers_of(result.curves.drop_vars("steps_per_second"))
    for group, chunks in enumerate(result.chunks):
        for chunk in range(len(chunks)):
            state = result.state(group, chunk).agent
            for where, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
                found[f"{group} {chunk} {jax.tree_util.keystr(where)}"] = jax.device_get(leaf)
    return found


def numbers_of(curves: Any) -> dict[str, Any]:
    """{name: values} of a dataset, coordinates included."""
    return {str(name): curves[name].values for name in sorted(curves.variables)}


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts of outcomes, of each case and kind of damage."""
    found = []
    for case in dict.fromkeys(row["case"] for row in rows):
        for kind in KINDS:
            outcomes = Counter(
                row["outcome"].split(":")[0]
                for row in rows
                if (row["case"], row["kind"]) == (case, kind)
            )
            counts = {outcome: outcomes[outcome] for outcome in OUTCOMES}
            found.append({"case": case, "damage": kind} | counts)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--few", type=int, help="files of each kind; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--cases", nargs="+", help="by name; those of other runs stay in the file")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, kill.shared_programs():
        for case in make_cases(Path(folder)):
            if given.cases and case.name not in given.cases:
                continue
            for row in run_case(case, given.each, given.few, given.seed):
                rows.append(row)
                if row["outcome"].startswith(("unnamed", "silent")):
                    print(row, flush=True)
            for line in table([row for row in rows if row["case"] == case.name]):
                print(line, flush=True)
    known = json.loads(given.out.read_text())["rows"] if given.cases and given.out.exists() else []
    kept = [row for row in known if row["case"] not in given.cases]
    harness.write_json(given.out, {"context": harness.context(), "rows": kept + table(rows)})
    return int(any(row["outcome"].startswith(("unnamed", "silent")) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
