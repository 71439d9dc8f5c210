"""Do intervals and verdicts hold what they promise? Simulated, on many kinds of scores.

    python -m benchmarks.coverage --out benchmarks/results/coverage-cpu.json
    python -m benchmarks.coverage --populations normal --seeds 8 --scale 0.1 --out x.json

Scores are drawn from populations whose interquartile mean is known, `stats` makes intervals of
them as it does of real ones, and what is counted is how often these miss.

    estimates   the 95 % interval of the interquartile mean of one arm
    verdicts    two arms of one population, analysed as they were made: unpaired, or as pairs whose
                scores are alike or have nothing in common. CONFIRMED is false where arms are
                equal, REFUTED where X is better by the smallest effect of interest, EQUAL refuted
                where they are equal. Below eight seeds no verdict is given; what is counted there
                is what would have been said.
    candidates  other intervals, for eight seeds

The truth is that of infinitely many seeds, of which exactly a quarter is cut at each end.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import special

from benchmarks import harness
from purejaxrl_suite import stats
from purejaxrl_suite.stats.bootstrap import widened
from purejaxrl_suite.stats.resample import Resampled, counts_of, whole_rows
from purejaxrl_suite.stats.weighted import form_of, middle_mean

harness.PACKAGES = ("jax", "numpy", "scipy", "purejaxrl_suite")
SEEDS = (2, 3, 4, 6, 8, 10, 16, 32, 64)
TASKS = (1, 4, 10, 26)
RESAMPLES = 400
ROUNDS = {2: 400, 3: 400, 4: 400, 6: 400, 8: 2000, 10: 1000, 16: 600, 32: 200, 64: 200}
TOGETHER = 25
"""Experiments that share the rows that are drawn again, at most."""
CHUNK = 2**19
"""Scores that are resampled at once."""
SMALLEST = 0.05
ALIKE = 0.8
"""Correlation of what is drawn for both arms, of pairs that are alike."""

Random = np.random.Generator


class Population(NamedTuple):
    """Scores of any number of runs, made of standard normal numbers z[runs, tasks].

    of: (z, random) -> scores. common: the share of a run's luck that its tasks have in common.
    """

    name: str
    of: Callable[[np.ndarray, Random], np.ndarray]
    common: float = 0.0


def normal(z: np.ndarray, random: Random) -> np.ndarray:
    return 0.5 + 0.3 * z


def clumps(z: np.ndarray, random: Random) -> np.ndarray:
    """Solved or not, near 1 or near 0; half of the runs, or by task a fifth to four fifths."""
    share = np.linspace(0.2, 0.8, z.shape[1]) if z.shape[1] > 1 else np.array([0.5])
    u = special.ndtr(z)
    solved = u > 1.0 - share
    within = np.where(solved, (u - 1.0 + share) / share, u / (1.0 - share))
    return solved + 0.05 * special.ndtri(np.clip(within, 1e-7, 1.0 - 1e-7))


def rarely(z: np.ndarray, random: Random) -> np.ndarray:
    """Three runs of ten are solved, whatever the task."""
    return (z > special.ndtri(0.7)) + 0.02 * z


def unlike(z: np.ndarray, random: Random) -> np.ndarray:
    """Tasks of different level and spread."""
    tasks = np.arange(z.shape[1])
    spread = 0.05 + 0.4 * np.abs(np.sin(7.0 * tasks))
    return 2.0 * (tasks / max(1, len(tasks) - 1)) ** 3 + spread * z


def apart(z: np.ndarray, random: Random) -> np.ndarray:
    """Tasks so far apart that none meets another."""
    tasks = np.arange(z.shape[1])
    return 2.0 * (tasks / max(1, len(tasks) - 1)) ** 2 + 0.05 * z


def heavy(z: np.ndarray, random: Random) -> np.ndarray:
    """Student's t with three degrees of freedom."""
    return 0.5 + 0.3 * special.stdtrit(3, special.ndtr(z))


def skewed(z: np.ndarray, random: Random) -> np.ndarray:
    """Log-normal."""
    return 0.3 * np.exp(z)


def ties(z: np.ndarray, random: Random) -> np.ndarray:
    """Quarters: many runs are equal."""
    return np.round(4.0 * (0.5 + 0.3 * z)) / 4.0


def missing(z: np.ndarray, random: Random) -> np.ndarray:
    """A fifth of the runs is missing, but of every task two are there."""
    lost = (random.random(z.shape) < 0.2) & (np.arange(len(z))[:, None] > 1)
    return np.where(lost, np.nan, normal(z, random))


POPULATIONS = (
    Population("normal", normal),
    Population("solved or not", clumps),
    Population("three of ten solved", rarely),
    Population("tasks of unlike level and spread", unlike),
    Population("tasks far apart", apart),
    Population("heavy tails", heavy),
    Population("log-normal", skewed),
    Population("ties", ties),
    Population("a fifth missing", missing),
    Population("one agent plays all tasks", normal, common=0.5),
)
OF_SEVERAL = ("tasks of unlike level and spread", "tasks far apart", "one agent plays all tasks")
"""Populations that are something of their own only with several tasks."""


@cache
def keys() -> list[Any]:
    return [jax.random.key(seed) for seed in range(50)]


def draw(random: Random, population: Population, seeds: int, tasks: int) -> np.ndarray:
    return population.of(luck(random, population, seeds, tasks), random).astype(np.float32)


def luck(random: Random, population: Population, seeds: int, tasks: int) -> np.ndarray:
    own, shared = random.normal(size=(seeds, tasks)), random.normal(size=(seeds, 1))
    return np.sqrt(1.0 - population.common) * own + np.sqrt(population.common) * shared


def pairs(
    random: Random, population: Population, seeds: int, tasks: int, alike: float
) -> tuple[np.ndarray, np.ndarray]:
    """Two arms whose luck is correlated by `alike`."""
    both, *own = (luck(random, population, seeds, tasks) for _ in range(3))
    mixed = (np.sqrt(alike) * both + np.sqrt(1.0 - alike) * each for each in own)
    x, y = (population.of(z, random).astype(np.float32) for z in mixed)
    return x, y


@cache
def truth(population: Population, tasks: int) -> float:
    """Of 200,000 runs of each task, one at every quantile of luck (none are missing)."""
    z = special.ndtri((np.arange(200_000) + 0.5) / 200_000)
    of = normal if population.of is missing else population.of
    return exact(of(np.repeat(z[:, None], tasks, axis=1), np.random.default_rng(0)))


def exact(x: np.ndarray) -> float:
    form = form_of(stats.iqm)
    assert form is not None
    return float(form([x], [np.ones((1, len(x), 1))])[0])


Scores = list[np.ndarray]


def intervals(
    random: Random, x: Scores, y: Scores | None = None, paired: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(value, low, high) f64[R] of R experiments: what `stats.estimate` and `stats.difference` say.

    x, y: scores [S, tasks] of each experiment. Experiments of as many seeds share their resamples,
    which makes this fast; what misses runs goes through `stats` one by one.
    """
    if any(np.isnan(each).any() for each in x):
        found = [_one(each, None if y is None else y[i], paired, i) for i, each in enumerate(x)]
        value, low, high = np.array(found).T
        return value, low, high
    parts, drawn = [], np.zeros(0)
    for arms in (x,) if y is None else (x, y):
        if not parts or not paired:
            drawn = counts_of(whole_rows(random, arms[0], RESAMPLES))
        parts.append(_measured(np.stack(arms, axis=-1), drawn))
    one = parts[0] if y is None else [a - b for a, b in zip(*parts, strict=True)]
    low, high = widened(Resampled(*one), 0.025, len(x[0]))
    return one[0], np.minimum(low, one[0]), np.maximum(high, one[0])


def _measured(x: np.ndarray, drawn: np.ndarray) -> list[np.ndarray]:
    """Of scores [S, tasks, R]: interquartile means, and those of exact quarters, also resampled."""
    flat = x.reshape(-1, x.shape[2])
    order = np.argsort(flat, axis=0)
    values, rows = np.take_along_axis(flat, order, 0), order // x.shape[1]
    once = np.ones((1, *flat.shape), np.float32)
    whole, exactly = (middle_mean(values, once, whole)[0] for whole in (True, False))
    return [whole, exactly, middle_mean(values, drawn[:, rows, 0], whole=False)]


def _one(x: np.ndarray, y: np.ndarray | None, paired: bool, index: int) -> Sequence[Any]:
    key = keys()[index % len(keys())]
    if y is None:
        return stats.estimate(key, x, resamples=RESAMPLES)
    return stats.difference(key, x, y, paired=paired, resamples=RESAMPLES)[:3]


def estimates(random: Random, population: Population, seeds: int, tasks: int, rounds: int) -> Any:
    """How often the interval lies above the truth, and how often below."""
    true, above, below = truth(population, tasks), 0, 0
    for count in _portions(rounds, seeds * tasks):
        x = [draw(random, population, seeds, tasks) for _ in range(count)]
        _, low, high = intervals(random, x)
        above += int(np.sum(~(low <= true + 1e-5)))
        below += int(np.sum(~(high >= true - 1e-5)))
    return {"low_above": above / rounds, "high_below": below / rounds}


def verdicts(
    random: Random, population: Population, seeds: int, tasks: int, rounds: int, kind: str
) -> Any:
    """False verdicts on two arms. kind: "unpaired", "pairs alike" or "pairs of strangers"."""
    alike = ALIKE if kind == "pairs alike" else 0.0
    counts = dict.fromkeys(("confirmed", "refuted", "equal_refuted"), 0)
    for count in _portions(rounds, seeds * tasks):
        arms = [pairs(random, population, seeds, tasks, alike) for _ in range(count)]
        x, y = map(list, zip(*arms, strict=True))
        for ends in zip(*intervals(random, x, y, kind != "unpaired"), strict=True):
            judged = stats.Effect(*ends, max(seeds, stats.MINIMUM_SEEDS))
            better = judged._replace(low=ends[1] + SMALLEST, high=ends[2] + SMALLEST)
            counts["confirmed"] += stats.verdict(judged, SMALLEST) == "CONFIRMED"
            counts["refuted"] += stats.verdict(better, SMALLEST) == "REFUTED"
            counts["equal_refuted"] += stats.equivalence_verdict(judged, SMALLEST) == "REFUTED"
    return {name: count / rounds for name, count in counts.items()}


def _portions(rounds: int, scores: int) -> list[int]:
    """Experiments that share their resamples, of so many scores each."""
    most = max(1, min(TOGETHER, CHUNK // (RESAMPLES * scores)))
    return [min(most, rounds - start) for start in range(0, rounds, most)]


QUESTIONS = ("estimates", "verdicts", "candidates")
KINDS = ("unpaired", "pairs alike", "pairs of strangers")


def intervals_of(random: Random, x: np.ndarray) -> dict[str, tuple[Any, Any]]:
    """{name: (low, high)} of what could have been chosen; x[S, tasks] misses nothing."""
    seeds = len(x)
    rows = whole_rows(random, x, RESAMPLES)
    plain, center, drawn = (z[..., 0] for z in _measured(x[..., None], counts_of(rows)))
    ours = widened(Resampled(plain, center, drawn), 0.025, seeds)
    theirs = stats.rliable_estimate(keys()[0], x, resamples=RESAMPLES)
    low, high = np.quantile(drawn, (0.025, 0.975))
    t = special.stdtrit(seeds - 1, 0.975)
    influence = _influence(x[None])[0]
    error = influence.std(ddof=1) / np.sqrt(seeds)
    errors = _influence(x[rows[..., 0]]).std(axis=1, ddof=1) / np.sqrt(seeds)
    known = errors > 1e-6
    ratios = (drawn[known] - center) / errors[known] if known.any() else np.zeros(1)
    least, most = np.quantile(ratios, (0.025, 0.975))
    each = _measured(x.T[:, None], np.ones((1, x.shape[1], 1), np.float32))[1]
    side = t * each.std(ddof=1) / np.sqrt(seeds)
    return {
        "this suite": ours,
        "rliable: runs of each task, percentile": theirs[1:],
        "seeds, percentile": (low, high),
        "seeds, basic": (2 * center - high, 2 * center - low),
        "seeds, BCa": _bca(float(center), drawn, influence),
        "seeds, studentised": (center - most * error, center - least * error),
        "t of the seeds' influences": (center - t * error, center + t * error),
        "t of the seeds' own interquartile means": (each.mean() - side, each.mean() + side),
    }


def _influence(x: np.ndarray) -> np.ndarray:
    """What each seed adds to the interquartile mean: [..., S, tasks] -> [..., S]."""
    ends = np.quantile(x, (0.25, 0.75), axis=(-2, -1), keepdims=True, method="hazen")
    cut = np.clip(x, *ends)
    return 2.0 * (cut - cut.mean(axis=(-2, -1), keepdims=True)).mean(axis=-1)


def _bca(center: float, drawn: np.ndarray, influence: np.ndarray) -> tuple[float, float]:
    lower = np.mean(drawn < center) + 0.5 * np.mean(drawn == center)
    bias = special.ndtri(np.clip(lower, 1 / len(drawn), 1 - 1 / len(drawn)))
    spread = np.sum(influence**2) ** 1.5
    bend = np.sum(influence**3) / (6.0 * spread) if spread else 0.0
    z = special.ndtri(np.array([0.025, 0.975]))
    low, high = np.quantile(drawn, special.ndtr(bias + (bias + z) / (1.0 - bend * (bias + z))))
    return low, high


def candidates(random: Random, population: Population, tasks: int, rounds: int) -> Any:
    """Coverage of every candidate for eight seeds."""
    true, held = truth(population, tasks), {}
    for _ in range(rounds):
        x = draw(random, population, 8, tasks)
        for name, (low, high) in intervals_of(random, x).items():
            held[name] = held.get(name, 0) + bool(low <= true + 1e-5 and high >= true - 1e-5)
    return {name: count / rounds for name, count in held.items()}


def _kinds(tasks: int, seeds: int) -> tuple[str, ...]:
    """All of them where that is affordable."""
    return KINDS if tasks < 10 and seeds <= 16 else KINDS[: tasks < 10]


def rows(
    names: Sequence[str],
    seeds: Sequence[int],
    counts: Sequence[int],
    scale: float,
    seed: int,
    save: Callable[[dict[str, list[Any]]], None],
) -> None:
    """Simulate, and save what there is after each population and number of tasks."""
    found: dict[str, list[Any]] = {name: [] for name in QUESTIONS}
    for index, population in enumerate(POPULATIONS):
        if population.name not in names:
            continue
        for tasks in counts:
            if tasks == 1 and population.name in OF_SEVERAL:
                continue
            random = np.random.default_rng([seed, index, tasks])
            head = {"population": population.name, "tasks": tasks}
            slow = population.of is missing
            for n in seeds:
                rounds = max(1, round(ROUNDS[n] * scale * (0.25 if slow else 1.0)))
                row = {**head, "seeds": n, "rounds": rounds}
                args = random, population, n, tasks, rounds
                found["estimates"].append(row | estimates(*args))
                for kind in _kinds(tasks, n):
                    found["verdicts"].append(row | {"kind": kind} | verdicts(*args, kind))
            if tasks < 10 and not slow:
                rounds = max(1, round(400 * scale))
                held = candidates(random, population, tasks, rounds)
                found["candidates"].append({**head, "rounds": rounds, "coverage": held})
            save(found)
            print(head, flush=True)


def joined(parts: Sequence[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    """Several results as one: rates of the same row are averaged by their simulations."""
    found: dict[str, list[Any]] = {}
    for name in QUESTIONS:
        by_row: dict[Any, list[Any]] = {}
        for row in (row for part in parts for row in part[name]):
            order = [one.name for one in POPULATIONS].index(row["population"])
            key = order, row["tasks"], row.get("seeds", 0), row.get("kind", "")
            by_row.setdefault(key, []).append(row)
        found[name] = [_average(by_row[key]) for key in sorted(by_row)]
    return found


def _average(rows: list[Any]) -> Any:
    rounds = [row["rounds"] for row in rows]

    def mean(values: list[Any]) -> Any:
        first = values[0]
        if isinstance(first, dict):
            return {name: mean([value[name] for value in values]) for name in first}
        return round(float(np.average(values, weights=rounds)), 5)

    rates = {n: mean([row[n] for row in rows]) for n, x in rows[0].items() if _is_rate(x)}
    return rows[0] | rates | {"rounds": sum(rounds)}


def _is_rate(value: Any) -> bool:
    return isinstance(value, float | dict)


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    names = [population.name for population in POPULATIONS]
    parser.add_argument("--populations", nargs="+", default=names, choices=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, choices=SEEDS)
    parser.add_argument("--tasks", nargs="+", type=int, default=TASKS, choices=TASKS)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of simulations")
    parser.add_argument("--seed", type=int, default=0, help="of the scores")
    parser.add_argument("--join", nargs="+", type=Path, help="only put result files together")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/coverage-cpu.json"))
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    context = harness.context()

    def save(*parts: dict[str, list[Any]]) -> None:
        harness.write_json(arguments.out, {"context": context, **joined(parts)})

    if arguments.join:
        parts = [json.loads(path.read_text()) for path in arguments.join]
        commits = ", ".join(dict.fromkeys(part["context"]["commit"] for part in parts))
        told = {"command": "python -m benchmarks.coverage, in parts", "commit": commits}
        context = parts[0]["context"] | told
        save(*parts)
    else:
        given = arguments.populations, arguments.seeds, arguments.tasks
        rows(*given, arguments.scale, arguments.seed, save)


if __name__ == "__main__":
    main()
