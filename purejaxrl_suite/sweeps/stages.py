"""Stages: experiments in sequence, in which each member continues one of the previous stage.

    def from_teacher(key, before, fresh):
        return fresh._replace(agent=fresh.agent._replace(learner=before.agent.learner))

    found = pjs.stages(
        pjs.Stage("easy", pjs.Experiment(pjs.ppo, easy, seeds=8, steps=1e6)),
        pjs.Stage("hard", pjs.Experiment(pjs.ppo, hard, seeds=8, steps=1e6), begin=from_teacher),
        out="runs/curriculum",
    )

Each stage is a sweep in a folder of its name; all share one folder and one call, which also resumes
them. Its members begin with the final states of the members with the same coordinates in the
previous stage: every axis of that stage must be an axis here, too, and along a new axis a member
has several successors. `Stage.origin` lets seeds go on from other seeds. The first stage may be
trained already: then it is a `Result`, which `pjs.load` reads from its folder.
"""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import function, instance, wrong
from purejaxrl_suite.core.check_environment import check_quickly
from purejaxrl_suite.core.compiling import use_compilation_cache
from purejaxrl_suite.core.types import PyTree, Run
from purejaxrl_suite.sweeps import files, fleet
from purejaxrl_suite.sweeps.axes import label
from purejaxrl_suite.sweeps.before import Before, Begin
from purejaxrl_suite.sweeps.display import title_of, watched
from purejaxrl_suite.sweeps.execute import execute
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.folder import check_empty, choose
from purejaxrl_suite.sweeps.identity import PROGRAM, digest_of, flat
from purejaxrl_suite.sweeps.layout import Group, Layout, lay_out
from purejaxrl_suite.sweeps.result import TRAINED, Result
from purejaxrl_suite.sweeps.settings import Progress, Settings, Watch
from purejaxrl_suite.sweeps.store import claimed

if TYPE_CHECKING:
    import xarray

RECORD = "stages.json"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
FORM = "(key, before, fresh) -> the state that a member begins with"


class Stage(NamedTuple):
    """One stage: what is trained, and how its members begin.

    name: of its folder, and its label in the curves.
    experiment: what is trained; in the first stage also the Result of a finished run.
    begin: (key, before, fresh) -> Run, the initial state. before: the member's final state in the
        previous stage. fresh: its own initial state, whose structure, shapes and dtypes the result
        must have. key: for random numbers. None in the first stage, and only there.
    origin: seed -> the seed of the previous stage that it goes on from, such as
        `lambda seed: seed % 8`; None for the same one.
    """

    name: str
    experiment: Experiment | Result
    begin: Begin | None = None
    origin: Callable[[int], int] | None = None


class Stages(NamedTuple):
    """The result of stages.

    curves: xarray.Dataset of all stages over (varied axes ..., seed, step), with a coordinate
        `stage` along `step`, which counts through all stages; NaN where a stage lacks a curve.
    results: {name: Result}, whose curves begin at step 0, and whose members can act.
    """

    curves: "xarray.Dataset"
    results: dict[str, Result]

    def __getitem__(self, name: Any) -> Any:
        """Return the Result of a stage by its name; a field by its position."""
        return self.results[name] if isinstance(name, str) else tuple(self)[name]

    def __repr__(self) -> str:
        """Describe the results, one after the other."""
        return "\n".join(f"{name}\n{result}" for name, result in self.results.items())

    __str__ = __repr__


def stages(
    *parts: Stage,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    segments: int = 20,
    checkpoint_every: int = 1,
    keep: int = 2,
    memory: str | int | float | None = None,
    accept_changes: bool = False,
    progress: bool = True,
    announce: Callable[[object], None] | None = None,
    on_segment: Callable[[Progress], None] | None = None,
) -> Stages:
    """Train stages in sequence, each from the final states of the previous one.

    The same call resumes stopped stages; with more stages at the end it trains those, too.

    Args:
        *parts: the stages.
        out: a folder, with a folder for each stage; None keeps all in memory.
        resume: as in `sweep`.
        segments: as in `sweep`, of every stage.
        checkpoint_every: as in `sweep`.
        keep: as in `sweep`.
        memory: as in `sweep`.
        accept_changes: as in `sweep`.
        progress: as in `sweep`.
        announce: as in `sweep`; also called with the name of the stage that begins.
        on_segment: as in `sweep`.

    Returns:
        The curves and results of all stages.

    Raises:
        ValueError: a stage is invalid by itself, its members have no origin in the previous stage,
            or `begin` returns another structure; all before anything is compiled. Or as in `sweep`.
    """
    use_compilation_cache()
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes=accept_changes)
    folder = choose(out, resume)
    chain = _lay_out(parts)
    known = {part.name: part.experiment for part in parts if isinstance(part.experiment, Result)}
    if resume is not None and not (Path(resume) / RECORD).exists():
        raise ValueError(f"resume: expected a folder of stages, got {resume}: no {RECORD} in it")
    with claimed(folder) if folder is not None else nullcontext():
        if folder is not None:
            _check_folder(files.resolve(folder), [name for name in chain if name not in known])
        watching = partial(watched, progress=progress, announce=announce, on_segment=on_segment)
        return _train(chain, known, settings, folder=folder, watching=watching)


def _train(
    chain: Mapping[str, Layout],
    known: Mapping[str, Result],
    settings: Settings,
    *,
    folder: Path | None,
    watching: Callable[[str], AbstractContextManager[Watch]],
) -> Stages:
    results = dict(known)
    for name, laid in chain.items():
        if name in known:
            continue
        place = None if folder is None else folder / name
        with watching(f"{name}: {title_of(laid)}") as watch:
            watch.announce(f"stage {name} ({len(results) + 1} of {len(chain)})")
            if results:
                laid = _with_states(laid, list(results.values())[-1])
            if folder is not None:
                done = [one for one in results if one not in known]
                watch = _recording(files.resolve(folder), [*done, name], watch)
            results[name] = execute(laid, settings, place, watch=watch)
    return Stages(joined(results), results)


def _lay_out(parts: tuple[Stage, ...]) -> dict[str, Layout]:
    """Lay out stages, {name: layout}, each with the origin of its members in the previous one."""
    if not parts:
        raise ValueError("stages: expected at least one Stage, got none")
    chain: dict[str, Layout] = {}
    for number, part in enumerate(parts):
        what = f"stages[{number}]"
        name = instance(what, part, Stage).name
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            form = "up to 64 letters, digits, '_' and '-', the first of them no '-'"
            raise wrong(f"{what}: name", form, name)
        if name.lower() in map(str.lower, chain):  # the same folder on some systems
            raise ValueError(f"{what}: name: expected another one than before, got {name!r} again")
        laid = _layout(f"{what}: experiment", part.experiment, first=number == 0)
        if number == 0 and part.origin is not None:
            raise wrong(f"{what}: origin", "None in the first stage", part.origin)
        if (part.begin is None) != (number == 0):
            expected = f"None in the first stage, else a function {FORM}"
            raise wrong(f"{what}: begin", expected, part.begin)
        if part.begin is not None:
            for env in {id(group.env): group.env for group in laid.groups}.values():
                check_quickly(env)  # now, not after the previous stages are trained
            function(f"{what}: begin", part.begin, 3, FORM)
            name_before, before = list(chain.items())[-1]
            if part.origin is not None:
                function(f"{what}: origin", part.origin, 1, "seed -> seed of the previous stage")
            laid = _after(what, part, laid, name=name_before, before=before)
        chain[name] = laid
    return chain


def _layout(what: str, given: Any, *, first: bool) -> Layout:
    """Lay out an experiment, or take the layout of a run that is finished."""
    if not (first and isinstance(given, Result)):
        return lay_out(instance(what, given, Experiment), goes_on=not first)
    if TRAINED in given.curves.attrs:
        share = f"{given.curves.attrs[TRAINED]:.0%}"
        raise ValueError(f"{what}: expected a finished run, got one of which {share} is trained")
    return given.layout


def _after(what: str, part: Stage, laid: Layout, *, name: str, before: Layout) -> Layout:
    """Add to a layout's groups their origins in the previous stage."""
    identity = flat(before.identity())
    readable = {key: x for key, x in identity.items() if key.rpartition(".")[2] != PROGRAM}
    origins = _origins(what, part.origin, laid.seeds, name=name, known=before.seeds)
    told = {"stage": name, "identity": files.checksum(readable)}
    if part.origin is not None:
        told["origins"] = str(list(origins.values()))
    assert part.begin is not None
    groups = []
    for group in laid.groups:
        of, rows = _rows(what, laid, group, name=name, before=before, origins=origins)
        program = _traced(what, part.begin, group, before.groups[of])
        told_of = {**told, PROGRAM: program}
        goes_on = Before(told=told_of, begin=part.begin, group=of, rows=rows)
        groups.append(group._replace(before=goes_on))
    return laid._replace(groups=tuple(groups))


def _origins(
    what: str,
    origin: Callable[[int], int] | None,
    seeds: tuple[int, ...],
    *,
    name: str,
    known: tuple[int, ...],
) -> dict[int, int]:
    """Find the seed of the previous stage that each seed goes on from."""
    found = {seed: seed if origin is None else int(origin(seed)) for seed in seeds}
    new = [seed for seed in sorted(found) if found[seed] not in known]
    if new and origin is None:
        raise ValueError(f"{what}: seeds: expected some of stage {name!r}, got {new[0]}")
    if new:
        got = f"{found[new[0]]} for seed {new[0]}"
        raise ValueError(f"{what}: origin: expected seeds of stage {name!r}, got {got}")
    return found


def _rows(
    what: str,
    laid: Layout,
    group: Group,
    *,
    name: str,
    before: Layout,
    origins: Mapping[int, int],
) -> tuple[int, np.ndarray]:
    """Find the group of the previous stage that a group continues, and each member's origin."""
    here = {axis: [label(value)] for axis, value in group.labels.items()}
    here |= {axis: [label(x) for x in labels] for axis, labels in laid.traced.items()}
    count = len(group.members.seeds)
    sizes = [len(labels) for labels in here.values()]
    inside = math.prod(sizes)
    grid = np.unravel_index(np.repeat(np.arange(inside), count // inside), sizes or [1])
    at = dict(zip(here, grid, strict=bool(sizes)))
    found: dict[str, np.ndarray] = {}
    for axis, labels in {**before.static, **before.traced}.items():
        known = [label(x) for x in labels]
        if axis not in here and len(known) > 1:
            raise ValueError(f"{what}: expected the axis {axis}, which stage {name!r} has: {known}")
        places = [_place(f"{what}: {axis}", x, known, name) for x in here.get(axis, known)]
        if axis in here:
            _check_points(what, axis, laid, name=name, before=before)
        found[axis] = np.asarray(places)[at[axis] if axis in here else np.zeros(count, int)]
    seeds = {seed: i for i, seed in enumerate(before.seeds)}
    of = _index(before.static, found, count)
    if len(np.unique(of)) > 1:
        raise ValueError(f"{what}: expected groups that go on from one of stage {name!r} each")
    seed = np.asarray([seeds[origins[int(one)]] for one in group.members.seeds])
    return int(of[0]), _index(before.traced, found, count) * len(seeds) + seed


def _place(what: str, value: Any, known: list[Any], name: str) -> int:
    """Find the place of a label among those of the previous stage."""
    for place, one in enumerate(known):
        if _alike(one, value):
            return place
    raise ValueError(f"{what}={value!r}: expected one of {known} of {name!r}")


def _index(axes: Mapping[str, Any], found: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Compute positions in the product of axes, from those along each."""
    position = np.zeros(count, int)
    for name, labels in axes.items():
        position = position * len(labels) + found[name]
    return position


def _state(group: Group) -> PyTree:
    """Return shapes and dtypes of the state of one member."""
    key, hypers, data = fleet.arguments_of_one(group.members)
    return jax.eval_shape(group.train.init, key, hypers, data)


def _traced(what: str, begin: Begin, group: Group, before: Group) -> str:
    """Digest what `begin` does; ValueError if it does not return a state of the group."""
    key, fresh = jax.eval_shape(jax.random.key, 0), _state(group)
    try:
        made, found = jax.make_jaxpr(begin, return_shape=True)(key, _state(before), fresh)
    except Exception as error:  # a user's function may raise anything
        reason = (str(error).splitlines() or [""])[0][:200]
        text = f"{what}: begin: expected a function {FORM}, got {type(error).__name__}: {reason}"
        raise ValueError(text) from error
    if jax.tree.structure(found) != jax.tree.structure(fresh):
        raise ValueError(f"{what}: begin: expected the structure of `fresh`, got another")
    theirs = tree.named(found)
    for name, leaf in tree.named(fresh).items():
        made_of, wanted = (f"{x.dtype}{list(x.shape)}" for x in (theirs[name], leaf))
        if made_of != wanted:
            raise ValueError(f"{what}: begin: {name}: expected {wanted}, got {made_of}")
    return digest_of(made)


def _with_states(laid: Layout, before: Result) -> Layout:
    """Give the layout's groups access to the states that they begin with."""
    groups = [
        group._replace(before=group.before._replace(states=partial(_states, before, group.before)))
        for group in laid.groups
        if group.before is not None
    ]
    return laid._replace(groups=tuple(groups))


def _states(result: Result, before: Before, members: np.ndarray) -> Run:
    """Return the final states of the origins of these members of a group."""
    chunk, row = np.divmod(before.rows[members], result.sizes[before.group])
    states = {k: result.state(before.group, k) for k in np.unique(chunk).tolist()}
    each = {k: tree.to_host(state) for k, state in states.items()}
    parts = [tree.index(each[k], i) for k, i in zip(chunk.tolist(), row.tolist(), strict=True)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *parts)
    return tree.from_host(next(iter(states.values())), stacked)


def _check_folder(folder: Path, names: list[str]) -> None:
    """Raise ValueError if a folder belongs to something else, or has content of no stage."""
    if (folder / "sweep.json").exists():
        raise ValueError(f"{folder} is of a run: expected a folder for stages")
    there = _recorded(folder)
    if there != names[: len(there)]:
        raise ValueError(f"{folder} has the stages {', '.join(there)}; got {', '.join(names)}")
    if not there:
        check_empty(folder, overwrite=False)
    for name in names:
        if not (folder / name / "sweep.json").exists():
            check_empty(folder / name, overwrite=False)


def _recorded(folder: Path) -> list[str]:
    record = folder / RECORD
    return files.read_json(record)["stages"] if record.exists() else []


def _recording(folder: Path, names: list[str], watch: Watch) -> Watch:
    """Make a Watch that records a stage in the folder, once it is certain to be trained there."""

    def announce(what: object) -> None:
        if len(_recorded(folder)) < len(names):
            files.write_json(folder / RECORD, {"stages": names})
        watch.announce(what)

    return watch._replace(announce=announce)


def joined(results: Mapping[str, Result]) -> "xarray.Dataset":
    """Concatenate the curves of all stages along `step`.

    A member has diverged if it has in any stage.
    """
    import xarray

    parts, gone, past = [], [], 0
    for name, result in results.items():
        curves = result.curves
        steps = curves["step"] + past
        gone.append(curves["diverged"])
        curves = curves.drop_vars([n for n, x in curves.data_vars.items() if "step" not in x.dims])
        parts.append(curves.assign_coords(step=steps, stage=("step", [name] * steps.size)))
        past = int(steps[-1])
    found = xarray.concat(
        parts,
        "step",
        data_vars="all",
        coords="different",
        compat="equals",
        join="outer",
        combine_attrs="drop_conflicts",
    )
    lost = [one.astype(bool) for one in gone]
    found["diverged"] = xarray.concat(lost, "part", join="outer", fill_value=False).any("part")
    each = [result.curves.attrs for result in results.values()]
    for name in ("agent", "environment"):
        found.attrs[name] = ", ".join(dict.fromkeys(str(one[name]) for one in each))
    return found.transpose(*gone[-1].dims, "step", ...)  # the last stage has all axes


def _alike(there: Any, here: Any) -> bool:
    """Tell whether two labels are equal in float32."""
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in (there, here))
    return bool(np.float32(there) == np.float32(here)) if numbers else there == here


def _check_points(what: str, axis: str, laid: Layout, *, name: str, before: Layout) -> None:
    """Raise ValueError if a label on an axis of both stages stands for different points."""
    labels = [[label(x) for x in {**one.static, **one.traced}[axis]] for one in (before, laid)]
    values = [
        {n: [label(x) for x in xs] for n, (along, xs) in one.along.items() if along == axis}
        for one in (before, laid)
    ]
    for field in dict.fromkeys((*values[0], *values[1])):
        for i, one in enumerate(labels[1]):
            there, here = (of.get(field) for of in values)
            old = there and there[_place(f"{what}: {axis}", one, labels[0], name)]
            new = here and here[i]
            if there is None or here is None or not _alike(old, new):
                raise ValueError(
                    f"{what}: {axis}={one!r}: expected {field}={old!r}, as stage {name!r} has, "
                    f"got {new!r}"
                )
