"""Populations: sweeps that drop, replace or change configurations during training.

Training is divided into phases at the rungs. A phase is one chunk of a sweep: its configurations as
one batch, advanced in segments, stored and resumed like any other. Between two phases a pure
function of the scores decides which configurations continue (`successive_halving`,
`population_based_training`); this is possible because hyper-parameters are arguments of the program
and states are rows of a batch.

A decision is stored before the next phase begins, so resuming after kill -9 gives the same bits:

    sweep.json, curves.zarr       as of a sweep
    group-000/chunk-00P/          phase P: curves and checkpoints, as of a chunk
    group-000/selection-00P.json  its configurations and hyper-parameters, and the scores behind it
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import function, instance, integer, integers, wrong
from purejaxrl_suite.core.compiling import use_compilation_cache
from purejaxrl_suite.core.host import refuse_host
from purejaxrl_suite.core.types import Agent, Builder, Environment, Run
from purejaxrl_suite.engine.rollout import counts
from purejaxrl_suite.populations.cohort import (
    Cohort,
    Phase,
    Schedule,
    decide,
    first_cohort,
    lay_out_cohort,
    make_schedule,
)
from purejaxrl_suite.populations.history import dataset, last_id
from purejaxrl_suite.populations.selection import Rules, Select, Standing, identities, standing
from purejaxrl_suite.stats import random_score
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.axes import Points, label
from purejaxrl_suite.sweeps.display import title_of, watched
from purejaxrl_suite.sweeps.execute import make_plan
from purejaxrl_suite.sweeps.experiment import Experiment, Fields, front, told
from purejaxrl_suite.sweeps.folder import How, begin, choose, enter
from purejaxrl_suite.sweeps.identity import PROGRAM, digest_of_function
from purejaxrl_suite.sweeps.interrupt import interruptible
from purejaxrl_suite.sweeps.layout import Layout, lay_out
from purejaxrl_suite.sweeps.memory import describe_bytes
from purejaxrl_suite.sweeps.plan import Plan
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.settings import Progress, Settings, Watch
from purejaxrl_suite.sweeps.store import InMemory, Sweep, claimed
from purejaxrl_suite.sweeps.training import Training

if TYPE_CHECKING:
    import xarray


RUNGS = "increasing numbers of segments"


@front
def evolve(
    builder: Builder | Agent | Experiment,
    env: Environment | None = None,
    *,
    select: Select,
    rungs: Sequence[int],
    segments: int = 20,
    metric: str = "episode_return",
    window: int = 1,
    selection_seed: int = 0,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    checkpoint_every: int = 1,
    keep: int = 2,
    memory: str | int | float | None = None,
    accept_changes: bool = False,
    progress: bool = True,
    announce: Callable[[object], None] | None = None,
    on_segment: Callable[[Progress], None] | None = None,
    **fields: Unpack[Fields],
) -> Result:
    """Train a population: at each rung `select` decides which configurations continue.

    A configuration's score is the interquartile mean over its seeds of the mean of a metric over
    the episodes of a window before the rung. A configuration with a diverged member cannot
    continue: its score is -inf. A copy continues the state of the member with its seed, with the
    random numbers of that seed. A fresh configuration starts from the initial state of its seed and
    gets the rest of training, schedules included.

    Args:
        builder: of agents, an Agent, or an Experiment, in which the given fields are replaced.
        env: the environment.
        select: (key, scores f32[C], hypers {name: f32[C]}) -> Selection, such as
            `successive_halving()`; how many continue must depend on C only.
        rungs: after which of the `segments` it is called.
        segments: parts of training.
        metric: `episode_return`, or any other curve, also of `metrics`. With fixed data as
            `source` there are no episodes in training: name another curve.
        window: segments before a rung over which the metric is averaged.
        selection_seed: random numbers of `select` depend on it and on the rung only.
        out: as in `sweep`.
        resume: as in `sweep`.
        checkpoint_every: as in `sweep`.
        keep: as in `sweep`.
        memory: as in `sweep`.
        accept_changes: as in `sweep`.
        progress: as in `sweep`.
        announce: called with the schedule, then as in `sweep`.
        on_segment: as in `sweep`; a phase is a chunk.
        **fields: of the `Experiment`: one group, points of `hypers`, values of `env_params`.

    Returns:
        The result: curves as `populations.history.dataset` describes them, and the members of the
        last phase.

    Raises:
        ValueError: there are several groups, not all members fit into memory at once, or no
            configuration has a score; or as in `sweep`.
        KeyboardInterrupt: as in `sweep`.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> rates = pjs.search.log_uniform(1e-5, 1e-2)
        >>> points = pjs.search.random(pjs.PPOHypers(), 16, learning_rate=rates)
        >>> rule = pjs.successive_halving(keep=0.5)
        >>> found = pjs.evolve(
        ...     pjs.ppo, env, select=rule, rungs=[5, 10], hypers=points, seeds=4, steps=1e5
        ... )
    """
    use_compilation_cache()
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes=accept_changes)
    laid = _lay_out(told(evolve, builder, env, fields))
    rules = Rules(
        select=function("select", select, 3, "(key, scores, hypers) -> Selection"),
        rungs=tuple(integers("rungs", rungs, low=1, high=settings.segments, expected=RUNGS)),
        metric=instance("metric", metric, str),
        window=integer("window", window, 1),
        seed=integer("selection_seed", selection_seed, 0, 2**32 - 1),
    )
    _check_metric(laid, rules.metric)
    folder = choose(out, resume)
    how = How(resuming=resume is not None, accept_changes=accept_changes)
    with claimed(folder), watched(title_of(laid), progress, announce, on_segment) as watch:
        sweep = None if folder is None else Sweep(folder)
        return _enter(laid, rules, settings=settings, sweep=sweep, how=how, watch=watch)


def _lay_out(experiment: Experiment) -> Layout:
    """Lay out the first configurations; raises ValueError unless only hypers vary."""
    refuse_host(instance("env", experiment.env, Environment), "a population")
    if not isinstance(experiment.hypers, Points):
        what = "points, such as `random(PPOHypers(), 16, ...)` gives"
        raise wrong("hypers", what, experiment.hypers)
    if isinstance(experiment.env_params, Points):
        what = "values: a population varies hypers only"
        raise wrong("env_params", what, experiment.env_params)
    return lay_out(experiment)


def _check_metric(laid: Layout, metric: str) -> None:
    """Raise ValueError for a mean over the episodes of training where nobody acts."""
    group = laid.groups[0]
    if not group.source.acts and metric in counts(group.env):
        raise ValueError(
            f"metric: expected a curve of those that learn from {group.source.name} without acting "
            f"('evaluation_return' with evaluate_every, or of `metrics`), got {metric!r}"
        )


def _enter(
    laid: Layout,
    rules: Rules,
    *,
    settings: Settings,
    sweep: Sweep | None,
    how: How,
    watch: Watch,
) -> Result:
    schedule = make_schedule(laid, rules, settings.segments)
    identity = saved = None
    if sweep is not None:
        identity = _identity(laid, rules, schedule)
        saved = enter(sweep, identity, how).sizes
    if saved is not None:
        sizes, blocks = tuple(saved["chunk"]), tuple(saved["block"])
        known = {"length": saved["length"][0], "row": saved["row"][0]}
        schedule = schedule._replace(**known, sizes=sizes, blocks=blocks)
    population = Population(laid, rules, schedule, settings=settings, sweep=sweep, watch=watch)
    if saved is not None:
        population.load()
    if sweep is not None and sweep.finished():
        watch.announce(f"{sweep.path} is finished: nothing is left to train")
        return population.result(sweep.curves())
    watch.announce(schedule)
    watch.announce(plan := population.plan())
    if sweep is not None and identity is not None and saved is None:
        sizes = {"chunk": list(schedule.sizes), "block": list(schedule.blocks)}
        sizes |= {"length": [schedule.length], "row": [schedule.row]}
        begin(sweep, identity, sizes, {"plan": f"{schedule}\n{plan}"}, replaces=False)
    return population.train()


def _identity(laid: Layout, rules: Rules, schedule: Schedule) -> dict[str, Any]:
    """Return the identity of a population, which differs from that of any sweep."""
    population = {
        "select": {"name": label(rules.select), PROGRAM: digest_of_function(rules.select)},
        "metric": rules.metric,
        "selection seed": rules.seed,
        "rungs, in updates": list(schedule.edges[1:-1]),
        "window, in updates": schedule.window,
        "configurations": list(schedule.counts),
    }
    return {"sweep": laid.identity(), "population": population}


class Population:
    """The phases of one call, trained one after the other; the last of `phases` is current."""

    def __init__(
        self,
        laid: Layout,
        rules: Rules,
        schedule: Schedule,
        *,
        settings: Settings,
        sweep: Sweep | None,
        watch: Watch,
    ):
        """Make the population without reading, compiling or training anything."""
        self.laid, self.rules, self.schedule = laid, rules, schedule
        self.settings, self.sweep, self.watch = settings, sweep, watch
        self.cohorts: list[Cohort] = []
        self.phases: list[Phase] = []
        self.compiled: Plan | None = None
        self.resumed = False
        self.compile_seconds, self.began, self.trained = 0.0, 0.0, 0
        self._add(first_cohort(laid))

    @property
    def last(self) -> bool:
        """Tell whether the current phase is the last one."""
        return len(self.cohorts) == len(self.schedule.counts)

    def load(self) -> None:
        """Load the stored decisions; raises ValueError if `select` now decides otherwise."""
        self.resumed = True
        while not self.last and (record := self._decided()) is not None:
            cohort = Cohort.of(files.read_json(record))
            if not cohort.agrees(self._decide()):
                raise ValueError(
                    f"select decides otherwise than it did after update {self.phases[-1].until}: "
                    "resume with the function and the arguments that the population began with"
                )
            self._add(cohort)

    def plan(self) -> Plan:
        """Plan the current phase; compiles if its batch has another size than the previous one."""
        number = len(self.cohorts) - 1
        size = self.schedule.sizes[number]
        if self.compiled is not None and self.compiled.groups[0].chunk == size:
            return self.compiled
        # The first compilation finds out how many members would fit.
        known = number > 0 or self.resumed
        block = self.schedule.blocks[number]
        sizes = {"chunk": [size], "block": [block], "length": [self.schedule.length]}
        sizes["row"] = [self.schedule.row]
        saved = sizes if known else None  # otherwise chosen, as in the schedule
        made = make_plan(
            self._layout(),
            self.settings,
            checkpoints=self.sweep is not None,
            saved=saved,
            watch=self.watch,
        )
        if made.groups[0].chunk != size:
            raise ValueError(
                f"a population is trained at once: {size} members, but {made.groups[0].chunk} fit "
                f"into {describe_bytes(made.limit)}. Fewer configurations or seeds, or more memory "
                "would change that"
            )
        names = made.groups[0].program.train.out_info[1]
        if self.rules.metric not in names:
            raise ValueError(f"metric: {self.rules.metric!r} is none of {', '.join(sorted(names))}")
        self.compiled = made
        self.compile_seconds += made.compile_seconds
        return made

    def train(self) -> Result:
        """Train every phase that is not complete, deciding between them."""
        self.began = time.perf_counter()
        with interruptible() as stop:
            self._phase(stop)
            while not self.last:
                record, cohort = self._record(), self._decide()
                self._add(cohort)
                self.phases[-1].clear()  # nothing in it follows from this decision
                if record is not None:
                    files.write_json(record, cohort.record())
                self._phase(stop)
        parts = [phase.curves() for phase in self.phases]
        found = dataset(
            self.laid,
            self.schedule,
            self.cohorts,
            parts=parts,
            compile_seconds=self.compile_seconds,
        )
        if self.sweep is not None:
            self.sweep.write_curves(found)
        return self.result(found)

    def result(self, found: "xarray.Dataset") -> Result:
        """Make the result: curves of all, and the members of the last phase."""
        self.phases[-1].carry = None  # the result must not keep the programs alive
        return Result(found, self._layout(), self.schedule.sizes[-1:], ((self.phases[-1],),))

    def _phase(self, stop: Callable[[], int]) -> None:
        """Train the current phase to its end."""
        made, phase = self.plan(), self.phases[-1]
        watch = self.watch._replace(on_segment=self._told(self.watch.on_segment))
        training = Training(self._layout(), made, ((phase,),), settings=self.settings, watch=watch)
        training.one(0, 0, stop, phase.until)
        if len(self.phases) > 1:  # from now on this phase has its own states
            self.phases[-2].inner.drop_states()

    def _decide(self) -> Cohort:
        """Decide the cohort after the current one, from its stored curves."""
        rung, before, found = len(self.cohorts), self.cohorts[-1], self._standing()
        selection = decide(self.laid, self.rules, rung, scores=found.told, hypers=before.hypers)
        if len(selection.source) != self.schedule.counts[rung]:
            raise ValueError(
                f"select: how many go on must not depend on scores, got {len(selection.source)} "
                f"where equal scores gave {self.schedule.counts[rung]}"
            )
        ids = identities(before.configuration, selection, 1 + last_id(self.cohorts))
        return Cohort(
            configuration=ids,
            hypers=dict(selection.hypers),
            source=selection.source,
            fresh=selection.fresh,
            scores=found.scores,
        )

    def _standing(self) -> Standing:
        """Score the current cohort at its end, by the last updates of its stored curves."""
        metric, env = self.rules.metric, self.laid.groups[0].env
        stored, seeds = self.phases[-1].curves(), len(self.laid.seeds)
        count, counted = len(self.cohorts[-1].configuration), counts(env).get(metric)

        def window(name: str) -> np.ndarray:
            rows = stored[name][: count * seeds, -self.schedule.rows(self.schedule.window) :]
            return rows.reshape(count, seeds, -1)

        episodes = None if counted is None else window(counted)
        lost = window("diverged")[..., -1] > 0
        try:
            return standing(window(metric), episodes, lost, random_score(env.name, metric))
        except ValueError as error:
            raise ValueError(
                f"metric: {metric}: {error}: a longer window, or later rungs, would change that"
            ) from None

    def _add(self, cohort: Cohort) -> None:
        number = len(self.cohorts)
        carry = self._carry if number else None
        if number:
            self.phases[-1].carry = None  # complete: its own last state is stored, or none is
        self.phases.append(Phase(self._store(number), self.schedule.spans[number], cohort, carry))
        self.cohorts.append(cohort)

    def _store(self, number: int) -> Any:
        if self.sweep is None:
            return InMemory()
        return self.sweep.chunk(0, number, self.settings.keep, self.schedule.row)

    def _decided(self) -> Path | None:
        """Return the file of the decision after the current phase, if it is stored.

        Raises ValueError naming the file if it is missing and later phases exist.
        """
        record = self._record()
        if self.sweep is None or record is None or record.exists():
            return record
        next_one = self.sweep.chunk(0, len(self.cohorts), self.settings.keep)
        if self.sweep.finished() or next_one.latest() is not None:
            raise ValueError(f"{record} is missing: the population cannot go on without it")
        return None

    def _record(self) -> Path | None:
        """Return the place of the decision after the current phase; None in memory."""
        name = f"selection-{len(self.cohorts):03}.json"
        return None if self.sweep is None else self.sweep.path / "group-000" / name

    def _layout(self) -> Layout:
        return lay_out_cohort(self.laid, self.cohorts[-1])

    def _carry(self, like: Run) -> Run:
        """Make the state that the current phase begins with, from the end of the previous one."""
        before, (old, new) = self.phases[-2], self.schedule.sizes[len(self.cohorts) - 2 :][:2]
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((old, *x.shape[1:]), x.dtype), like)
        found = before.restore(shapes, before.until)
        assert found is not None, "a phase that is over has a state, or restore raised"
        before.close()
        rows, fresh = self.cohorts[-1].rows_before(len(self.laid.seeds), new)
        carried = tree.index(found[1], rows)
        if not np.any(fresh):
            return carried
        members = self._layout().groups[0].members.chunk(0, new)
        program = self.plan().groups[0].program
        begun = program.init(members.seeds, members.hypers, members.data)

        def pick(begun: np.ndarray, carried: np.ndarray) -> np.ndarray:
            return np.where(fresh.reshape(-1, *[1] * (begun.ndim - 1)), begun, carried)

        return jax.tree.map(pick, tree.to_host(begun), carried)

    def _told(self, on_segment: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Convert progress of the current phase to that of the whole population."""
        sizes, edges = np.asarray(self.schedule.sizes), self.schedule.edges
        work = np.concatenate([[0], np.cumsum(sizes * np.diff(edges))])
        number = len(self.cohorts) - 1

        def tell(progress: Progress) -> None:
            rows = next(iter(progress.history.values())).size
            self.trained += rows * self.schedule.row
            done = work[number] + sizes[number] * (progress.update - edges[number])
            seconds = time.perf_counter() - self.began
            left = float(seconds * (work[-1] - done) / self.trained)
            place = {"chunk": number, "chunks": len(sizes), "seconds": seconds, "left": left}
            on_segment(progress._replace(**place, done=float(done / work[-1])))

        return tell
