"""Write what was measured into the pages that show it.

    python -m benchmarks.tables

Between `<!-- NAME -->` and `<!-- end of NAME -->` a page of PAGES shows a table of TABLES, made of
the files `benchmarks/results/*-DEVICE.json`, one per device; what is about studies is made by
`study_pages` of the results that come with the suite. A test compares the pages with what this
writes, so a result file and its page change together. Figures of growth and of all claims are
drawn, too.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness, study_pages, systems
from benchmarks.growth import picture
from purejaxrl_suite.report.claims import claims_figure
from purejaxrl_suite.report.figures import pack

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("benchmarks/results")
PAGES = tuple(
    map(
        Path,
        (
            "README.md",
            "benchmarks/README.md",
            "docs/benchmarks.md",
            "docs/performance.md",
            "docs/preferences.md",
            "docs/representations.md",
            "docs/silicon.md",
            "docs/statistics.md",
            "docs/studies.md",
            *study_pages.PAGES.values(),
        ),
    )
)
BLOCK = re.compile(r"<!-- (\w+) -->\n(.*?)<!-- end of \1 -->", re.DOTALL)
Data = dict[str, Any]


def table(titles: str, rows: list[list[str]]) -> str:
    """A markdown table; titles are separated by |."""
    columns = titles.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def place(context: Data) -> str:
    """One line: device, versions, commit and command."""
    found = ", ".join(f"{name} {version}" for name, version in context["versions"].items())
    device = context["cpu"] if context["backend"] == "cpu" else context["device"]
    cores = f", {context['cores_used']} core" if context["backend"] == "cpu" else ""
    cores += "s" if cores and context["cores_used"] > 1 else ""
    return (
        f"{device}{cores}; {found}; commit {context['commit']}, {context['date'][:10]}.\n"
        f"`{context['command']}`\n"
    )


def kernels(entry: Data, trips: int | None) -> str:
    """Kernels in the first loop body that runs so often, "" where no loop does."""
    found = [row["own"] for row in entry["loops"] if trips is not None and row["trips"] == trips]
    return str(found[0]) if found else ""


def peers(data: Data) -> str:
    """Ours against each peer at equal settings."""
    rows = []
    for name, job in data["jobs"].items():
        ours, *others = job["contestants"]
        length = job["settings"].get("rollout_length")
        for entry in others:
            pair = (ours, entry)
            speeds = [f"{one['steps_per_second']['median']:,.0f}" for one in pair]
            seconds = [f"{one['trace_seconds'] + one['compile_seconds']:.0f}" for one in pair]
            used = [(one["output_bytes"] + one["temporary_bytes"]) / 1e6 for one in pair]
            body = [kernels(one, length) for one in pair]
            rows.append(
                [
                    name,
                    str(job["settings"].get("members", job["settings"].get("seeds", 1))),
                    speeds[0],
                    entry["name"],
                    speeds[1],
                    harness.format_ratio(entry["ratio"]),
                    " / ".join(seconds),
                    " / ".join(f"{x:,.1f}" for x in used),
                    " / ".join(body) if all(body) else "",
                ]
            )
    titles = (
        "job|members|steps/s|against|steps/s|ratio (spread)|trace and compile, s|memory, MB"
        "|kernels of a step"
    )
    return table(titles, rows)


def throughput(data: Data) -> str:
    """Speed, memory and compiling of one environment and policy in each row."""
    rows = []
    for row in data["points"]:
        rows.append(
            [
                row["env_id"],
                row["policy"],
                f"{row['members']:,}",
                f"{harness.speed(row, data['context']):,.0f}",
                f"{row['peak_bytes'] / 1e6:,.1f}",
                f"{row['compile_seconds']:.1f}",
            ]
        )
    return table("environment|policy|members|steps/s|memory, MB|compile, s", rows)


def roofline(data: Data) -> str:
    """Where the time goes and how much of the device's limits is reached."""
    rows = []
    for row in data["rows"]:
        share = row["share"]
        rows.append(
            [
                row["job"],
                str(row["members"]),
                f"{row['steps_per_second']:,.0f}",
                *(f"{share[part]:.0%}" for part in ("learning", "acting", "environment")),
                f"{row['flops_per_step'] / 1e6:.2f}",
                f"{row['of_matrix_limit']:.0%}",
                f"{row['products_alone']:.0%}" if row.get("products_alone") else "",
                f"{row['bytes_per_step'] / 1e3:.1f}" if "bytes_per_step" in row else "",
                f"{row['of_copy_limit']:.0%}" if "of_copy_limit" in row else "",
            ]
        )
    titles = (
        "job|members|steps/s|learning|acting|environment|MFLOP of products per step"
        "|of the product's limit|its products alone, of its time|KB moved per step"
        "|of the copy's limit"
    )
    limits = data["limits"]
    return table(titles, rows) + (
        f"\nLimits: {limits['flops_per_second'] / 1e9:,.0f} GFLOP/s in the best float32 product, "
        f"{limits['bytes_per_second'] / 1e9:,.1f} GB/s in a large copy.\n"
    )


def trace(data: Data) -> str:
    """The share of each phase in the time of updates, and what it launches."""
    rows = []
    for row in data["rows"]:
        phases = {name: each for name, each in row["phases"].items() if name != "once"}
        cells = [
            f"{each['share']:.1%}, {each['launches']:,.0f}" if each["launches"] else ""
            for each in phases.values()
        ]
        idle = "" if row["idle_share"] is None else f"{row['idle_share']:.0%}"
        slower = f"{row['traced_seconds'] / row['seconds']:.2f}"
        time = f"{sum(each['microseconds'] for each in phases.values()) / 1e3:,.1f}"
        rows.append([row["job"], f"{row['members']:,}", time, *cells, idle, slower])
    names = "rollout|resets|returns|update|metrics|other"
    return table(f"job|members|ms per update|{names}|device idle|time with the profiler", rows)


def growth(data: Data) -> str:
    """One line per axis: where it starts and where it ends."""
    rows = []
    for row in data["rows"]:
        rows.append(
            [
                row["axis"],
                f"{row['value']:,}",
                f"{harness.speed(row, data['context']):,.0f}",
                f"{row['peak_bytes'] / 1e6:,.1f}",
                f"{row['compile_seconds']:.1f}",
            ]
        )
    image = f"images/growth-{data['context']['backend']}.png"
    shown = f"\n![Speed and memory against members, environments and width]({image})\n"
    return table("axis|value|steps/s|memory, MB|compile, s", rows) + shown


def silicon(data: Data) -> str:
    """Greedy controllers beside another simulator, and the speed beside plain numpy."""
    rows = []
    for row in data["table"]:
        rows.append(
            [
                row["rates"],
                f"{row['dwell']:g}",
                f"{row['offset']:g}",
                f"{row['success']:.3f}",
                f"{row['seconds']:.1f} ({row['error']:.1f})",
                f"{row['their_success']:.2f}",
                f"{row['their_seconds']:.0f} ({row['their_error']:.1f})",
                f"{row['ratio']:.2f}",
            ]
        )
    found, (low, high) = data["speed"]["median"], data["speed"]["spread"]
    speed = (
        f"{found['ours']:,.0f} steps/s in {data['speed']['envs']:,} episodes side by side, "
        f"{found['plain']:,.0f} in plain numpy: **{found['ratio']:,.0f}** times as many "
        f"({low:,.0f} - {high:,.0f})."
    )
    titles = "rates|dwell, s|offset|success|seconds to goal|theirs: success|seconds|ratio"
    return f"{speed}\n\n{table(titles, rows)}"


def preferences(data: Data) -> str:
    """Updates per second of learning from preferences, beside plain numpy."""
    rows = [
        [
            f"{row['members']}",
            f"{row['ours']['median']:,.0f}",
            f"{row['plain']['median']:,.0f}",
            harness.format_ratio(row["ratio"]),
            f"{row['compile_seconds']:.1f}",
            f"{row['peak_bytes'] / 1e6:,.1f}",
            f"{row['apart']:.0e}",
        ]
        for row in data["rows"]
    ]
    titles = "members|updates/s|plain numpy|ratio (spread)|trace and compile, s|memory, MB"
    return table(f"{titles}|losses apart", rows)


def compiling(data: Data) -> str:
    """Seconds before the first step, agent by agent."""
    rows = [
        [
            row["agent"],
            f"{row['preset']}, {row['env_id']}",
            f"{row['operations']:,}",
            f"{row['tracing_seconds']:.1f}",
            f"{row['compile_seconds']:.1f}",
            f"{row['cached_seconds']:.1f}",
        ]
        for row in data["rows"]
    ]
    titles = "agent|preset, environment|operations|trace and lower, s|compile, s|from the cache, s"
    return table(titles, rows)


def cores(data: Data) -> str:
    """Training on several cores, beside the fewest."""
    rows = [
        [
            row["job"],
            f"{row['members']}",
            f"{row['block']}",
            f"{row['cores']}",
            f"{row['steps_per_second']['median']:,.0f}",
            harness.format_ratio(row["ratio"]),
            f"{row['busy']:.2f}",
            "yes" if row["same"] else "no",
        ]
        for row in data["rows"]
    ]
    return table("job|members|in a block|cores|steps/s|ratio (spread)|busy|same bits", rows)


def first_minute(data: Data) -> str:
    """Seconds of first runs, and of what is asked of their results."""

    def shown(found: Data) -> str:
        return f"{found['median']:.2f} ({found['min']:.2f} - {found['max']:.2f})"

    rows = [
        [row["job"], *(shown(row["seconds"][name]) for name in ("wall", "cpu"))]
        for row in data["rows"]
    ]
    after = [[name, shown(x)] for row in data["rows"] for name, x in row["afterwards"].items()]
    runs = table("four members of PPO on CartPole|wall, s|process, s", rows)
    return f"{runs}\n{table('afterwards|s', after)}"


def continuous(data: Data) -> str:
    """Ours and brax's own agents, round by round."""
    rows = []
    for row in data["rows"]:
        sides = row["ours"], row["brax"]
        rows.append(
            [
                f"{row['agent']}, {row['job']['env']}",
                *(f"{side['steps_per_second']:,.0f}" for side in sides),
                f"**{row['ratio']:.2f}**",
                " / ".join(f"{side['return']:,.0f}" for side in sides),
                " / ".join(f"{side['seconds']:.0f}" for side in sides),
            ]
        )
    titles = "job|steps/s|brax: steps/s|ratio|return, ours / brax|seconds in all, ours / brax"
    return table(titles, rows)


def headline(data: Data) -> str:
    """NAVIX's headline job."""
    rows = [
        [row["name"], f"{row['seconds']:,.1f}", f"{row['steps_per_second']:,.0f}"]
        for row in data["rows"]
    ]
    job = f"\n{data['members']:,} members of {data['steps']:,.0f} steps each.\n"
    return table("contestant|seconds, compilation included|steps/s", rows) + job


def coverage(data: Data) -> str:
    """How often intervals hold the truth, how often verdicts are false, and what else was tried."""
    return (
        "Coverage of the 95 % interval of an interquartile mean, by number of seeds:\n\n"
        + held(data["estimates"])
        + experiments(data["estimates"])
        + "\nFalse verdicts: the mean over all kinds of scores, and the worst of them:\n\n"
        + false_verdicts(data["verdicts"])
        + "\nCoverage of other intervals, eight seeds of one or four tasks of the same scores:\n\n"
        + candidates(data["candidates"])
    )


def held(rows: list[Data]) -> str:
    """A row per population and number of tasks, a column per number of seeds."""
    seeds = sorted({row["seeds"] for row in rows})
    found: dict[str, dict[int, str]] = {}
    for row in rows:
        name = f"{row['population']}, {row['tasks']} task{'s' * (row['tasks'] > 1)}"
        share = 1.0 - row["low_above"] - row["high_below"]
        found.setdefault(name, {})[row["seeds"]] = f"{share:.3f}"
    lines = [[name, *(of.get(n, "") for n in seeds)] for name, of in found.items()]
    return table("scores|" + "|".join(map(str, seeds)), lines)


def experiments(rows: list[Data]) -> str:
    """How many experiments there are in a cell, and how exact the rate of the fewest is."""
    counts: dict[int, list[int]] = {}
    for row in rows:
        counts.setdefault(row["seeds"], []).append(row["rounds"])
    told = ", ".join(f"{n}: {min(of):,} to {max(of):,}" for n, of in sorted(counts.items()))
    off = 100.0 * (0.95 * 0.05 / min(counts[8])) ** 0.5
    return (
        f"\nExperiments in a cell, by seeds: {told}. A rate of 95 % of eight seeds has, where "
        f"there are fewest, a standard error of {off:.1f} percentage points.\n"
    )


def false_verdicts(rows: list[Data]) -> str:
    """A row per number of seeds and kind of arms."""
    kinds = dict.fromkeys((row["seeds"], row["kind"]) for row in rows)
    lines = []
    for seeds, kind in sorted(kinds, key=lambda both: both[0]):
        of = [row for row in rows if (row["seeds"], row["kind"]) == (seeds, kind)]
        rates = [[row[name] for row in of] for name in ("confirmed", "refuted", "equal_refuted")]
        cells = [f"{sum(each) / len(each):.1%}, {max(each):.1%}" for each in rates]
        lines.append([str(seeds), kind, *cells])
    return table("seeds|arms|CONFIRMED|REFUTED|EQUAL refuted", lines)


def candidates(rows: list[Data]) -> str:
    """A row per interval."""
    lines = []
    for name in rows[0]["coverage"]:
        shares = [row["coverage"][name] for row in rows]
        mean = sum(shares) / len(shares)
        lines.append([name, *(f"{x:.3f}" for x in (min(shares), mean, max(shares)))])
    return table("interval|lowest|mean|highest", lines)


def bad_input(data: Data) -> str:
    """What became of the bad inputs of each kind."""
    outcomes = list(data["total"])
    rows = [[row["over"], row["kind"], *(str(row[x]) for x in outcomes)] for row in data["rows"]]
    total = ["", "all", *(f"{data['total'][x]:,}" for x in outcomes)]
    return table("over|kind|" + "|".join(outcomes), [*rows, total])


def names() -> set[str]:
    """What a block may be called."""
    return {
        *TABLES,
        *OF_STUDIES,
        *(f"{kind}_{n}" for kind in OF_A_STUDY for n in study_pages.PAGES),
    }


def representations(data: Data) -> str:
    """What auxiliary losses cost, and how long estimates of information take."""
    rows = []
    for row in data["contestants"]:
        ratio = harness.format_ratio(row["ratio"]) if "ratio" in row else ""
        speed = f"{row['steps_per_second']['median']:,.0f}"
        rows.append([row["name"], speed, ratio, f"{row['compile_seconds']:.1f} s"])
    costs = table("DQN on Breakout-MinAtar|steps/s|takes, times plain|compiling", rows)
    times = [
        [f"{row['samples']:,} of {row['numbers']:,} numbers"]
        + [f"{1e3 * row[name]:,.0f} ms" for name in ("V", "A")]
        for row in data["probes"]
    ]
    return f"{costs}\n{table('samples|I(Z; V)|I(Z; A)', times)}"


TABLES: dict[str, Callable[[Data], str]] = {
    "peers": peers,
    "throughput": throughput,
    "roofline": roofline,
    "trace": trace,
    "growth": growth,
    "compiling": compiling,
    "cores": cores,
    "first_minute": first_minute,
    "silicon": silicon,
    "preferences": preferences,
    "continuous": continuous,
    "headline": headline,
    "coverage": coverage,
    "bad_input": bad_input,
    "representations": representations,
}


OF_STUDIES: dict[str, Callable[[], str]] = {
    "studies": study_pages.index,
    "claims": study_pages.counts,
    "systems": systems.block,
}
OF_A_STUDY: dict[str, Callable[[str], str]] = {
    "question": study_pages.question,
    "study": study_pages.outcome,
}


def block(name: str, results: Path = RESULTS) -> str:
    """All devices' tables of this name; a sentence where nothing has been measured."""
    if name in OF_STUDIES:
        return OF_STUDIES[name]()
    kind, _, study = name.partition("_")
    if kind in OF_A_STUDY:
        return OF_A_STUDY[kind](study)
    stem = name.replace("_", "-")
    files = sorted(results.glob(f"{stem}-*.json"))
    if not files:
        return f"\nNot measured yet: `python -m benchmarks.{name}`.\n\n"
    found = []
    for path in files:
        data = json.loads(path.read_text())
        device = path.stem.removeprefix(f"{stem}-").upper()
        found.append(f"\n{device}: {place(data['context'])}\n{TABLES[name](data)}\n")
    return "".join(found)


def fill(text: str, results: Path = RESULTS) -> str:
    """The page with every block made anew."""

    def written(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"<!-- {name} -->\n{block(name, results)}<!-- end of {name} -->"

    return BLOCK.sub(written, text)


def main() -> None:
    for name, page in study_pages.PAGES.items():
        if not page.exists():
            page.write_text(study_pages.EMPTY.format(name))
    for page in PAGES:
        page.write_text(fill(page.read_text()))
    for path in RESULTS.glob("growth-*.json"):
        picture(json.loads(path.read_text()), Path(f"docs/images/{path.stem}.png"))
    outcomes = {name: study_pages.results(name) for name in study_pages.PAGES}
    for name, narrow in (("claims", False), ("claims-narrow", True)):
        path = Path(f"docs/images/{name}.png")
        claims_figure(outcomes, path, narrow=narrow)
        pack(path)


if __name__ == "__main__":
    main()
