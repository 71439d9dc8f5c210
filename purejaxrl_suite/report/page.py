"""One HTML page for runs and sweeps, which opens from disk without a network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from purejaxrl_suite.plasticity.names import layers_of
from purejaxrl_suite.report import html, interactive, settings
from purejaxrl_suite.report.configurations import (
    Configuration,
    configurations,
    main_metric,
    parameters,
    step_label,
)
from purejaxrl_suite.report.figures import (
    COLOURS,
    EVALUATED,
    FEW,
    axis_label,
    line_name,
    shown_first,
)
from purejaxrl_suite.report.gallery import verdicts
from purejaxrl_suite.report.layers import by_layer
from purejaxrl_suite.report.ranking import best, rank, remarks, shortlist
from purejaxrl_suite.report.sensitivity import views
from purejaxrl_suite.report.summary import FINAL, engineering, spread
from purejaxrl_suite.stats.inputs import FINISHED
from purejaxrl_suite.studies import StudyResult

HINT = "A click on a name hides its curve; with a mouse, drag to zoom, double-click to go back."
OLD = "These curves are older than the record of what ran: its settings are not known."
LARGE = EVALUATED, "evaluation_success", "success"
"""Metrics that get a large figure, like the first metric."""
ROWS = 50
"""The most configurations of an environment in the table."""


def page(
    curves: Any,
    path: str | Path,
    *,
    title: str = "",
    metric: str | None = None,
    records: Mapping[str, Mapping[str, Any]] | None = None,
    outcomes: Sequence[StudyResult] = (),
    note: str = "",
) -> None:
    """Write one self-contained HTML page; nearly all of its 5 MB is plotly.js.

    It has interactive curves, final scores, for a single sweep the sensitivity to each
    hyper-parameter, all other metrics, verdicts, and all settings.

    Args:
        curves: `Result.curves`, or {label: curves}.
        path: the file to write.
        title: of the page.
        metric: shown first, and by which configurations are ordered; None as in `best`.
        records: {label: the content of `config.json`}; the label of a single dataset is "".
        outcomes: results of the studies that the curves are from.
        note: a sentence below the title.

    Raises:
        ValueError: there are no curves, or some lack the metric.
    """
    datasets = {"": curves} if hasattr(curves, "data_vars") else dict(curves)
    known = dict(records or {})
    if len(datasets) == 1:  # needs no label
        ((label, curves),) = datasets.items()
        datasets, known = {"": curves}, {"": known.get(label, {})}
    found = configurations(curves)
    metric = metric or main_metric(found)
    ranking = best(curves, metric)
    panels = _coloured(shortlist(found, metric, len(COLOURS), FEW))
    title = title or " and ".join(dict.fromkeys(str(d.attrs["agent"]) for d in datasets.values()))
    body = [
        html.element("h1", title),
        html.element("p", note, class_="note") if note else "",
        *_facts(datasets, known),
        *(part for one in outcomes for part in _verdicts(one)),
        *_curves(panels, found, metric),
        *_scores(ranking),
        *(_sensitivity(curves, ranking, metric) if len(datasets) == 1 else ()),
        *_layers(panels, metric),
        *_diagnostics(panels, metric),
        *_settings(datasets, known),
        html.raw("script", interactive.ZOOM),
    ]
    html.write(path, html.document(title, body, [interactive.script()]))


Panels = dict[str, list[tuple[int, Configuration]]]


def _coloured(panels: Mapping[str, Sequence[Configuration]]) -> Panels:
    """Return {environment: (number of the colour, configuration)}; labels keep their colour."""
    labels = list(dict.fromkeys(one.label for few in panels.values() for one in few))
    shared = len(labels) <= len(COLOURS)
    return {
        environment: [(labels.index(one.label) if shared else i, one) for i, one in enumerate(few)]
        for environment, few in panels.items()
    }


def _facts(datasets: Mapping[str, Any], records: Mapping[str, Any]) -> Iterator[str]:
    """Write what was run, and what it cost."""
    for label, dataset in datasets.items():
        record, known = records.get(label, {}), dataset.attrs
        seeds, steps = dataset.sizes["seed"], float(dataset["step"].values[-1])
        count = len(configurations(dataset))
        several = f"{count} configurations x " * (count > 1)
        if label:
            yield html.element("h3", label)
        yield html.facts(
            {
                "agent": known.get("agent"),
                "environment": known.get("environment"),
                "members": f"{several}{seeds} seed{'s' * (seeds > 1)}",
                "steps of each": engineering(steps),
                "training": _seconds(known, "wall_seconds"),
                "compiling": _seconds(known, "compile_seconds"),
                "speed": f"{engineering(known.get('steps_per_second', float('nan')))} steps/s",
                "device": known.get("device"),
                "started": record.get("started", record.get("written")),
                "commit": record.get("commit"),
            }
        )


def _verdicts(outcome: StudyResult) -> Iterator[str]:
    yield html.element("h2", f"Findings: {outcome.text.question}")
    yield from verdicts(outcome)


def _seconds(known: Mapping[str, Any], name: str) -> str | None:
    seconds = known.get(name, float("nan"))
    return f"{seconds:.1f} s" if seconds == seconds else None


def _curves(panels: Panels, found: Sequence[Configuration], metric: str) -> Iterator[str]:
    known = [name for name in LARGE if any(name in one.curves for one in found)]
    first = [shown_first(found)] if metric == "episode_return" else []
    metrics = dict.fromkeys([*first, metric, *known])
    for name in metrics:
        yield html.element("h2", f"Learning curves: {name.replace('_', ' ')}")
        for number, (environment, lines) in enumerate(panels.items()):
            lines = [(i, one) for i, one in lines if name in one.curves]
            if not lines:
                continue
            count = sum(one.environment == environment for one in found)
            few = f": the best {len(lines)} of {count} configurations" * (count > len(lines))
            yield html.element("h3", environment + few)
            figure = interactive.learning_curves(lines, name)
            yield interactive.fragment(figure, f"{name}-{number}")
    seeds = spread({one.curves.sizes["seed"] for one in found})
    yield html.element(
        "p", f"{seeds}, against {step_label(found[0].curves)}. {HINT}", class_="note"
    )


def _scores(ranking: Any) -> Iterator[str]:
    shown = ranking.first(ROWS)
    yield html.element("h2", "Final scores")
    yield html.table(ranking.columns, [ranking.cells(one) for one in shown])
    text = f"{spread({one.members for one in shown})}; last {100 * FINAL:.0f} % of training"
    few = f"; {len(shown)} of {len(ranking.scores)} configurations, the best"
    text += few * (len(shown) < len(ranking.scores)) + remarks(shown)
    yield html.element("p", text, class_="note")


def _sensitivity(curves: Any, ranking: Any, metric: str) -> Iterator[str]:
    names = parameters(ranking.scores)
    if not names:
        return
    label = axis_label(curves[metric].attrs, metric)
    yield html.element("h2", "Sensitivity")
    for number, view in enumerate(views(curves, ranking)):
        yield html.element("h3", view.environment)
        figures = (
            interactive.fragment(interactive.sensitivity(view, name, label), f"{name}-of-{number}")
            for name in names
        )
        yield html.raw("div", *figures, class_="grid")
        text = f"Ring: the {view.kind} configuration; line: all else as there; grey: the others."
        yield html.element("p", f"{text} Crosses: with members that diverged.", class_="note")


def _layers(panels: Panels, metric: str) -> Iterator[str]:
    """Draw metrics by layer, for the best configuration of each environment."""
    for number, (environment, lines) in enumerate(panels.items()):
        ranking = rank([one for _, one in lines], metric).scores
        (one,) = (x for _, x in lines if (x.run, x.at) == (ranking[0].run, ranking[0].at))
        names = list(map(str, one.curves.data_vars))
        measured = [name for name in names if layers_of(name, names)]
        if not measured:
            continue
        if number == 0:
            yield html.element("h2", "Layers")
        yield html.element("h3", ": ".join(x for x in (environment, line_name(one)) if x))
        parts = [
            html.raw("div", html.element("h3", name), interactive.fragment(
                interactive.layer_map(*by_layer(one.curves, name), ""), f"layers-{number}-{name}"))
            for name in measured
        ]  # fmt: skip
        yield html.raw("div", *parts, class_="grid")
        yield html.element("p", "Means over seeds.", class_="note")


def _diagnostics(panels: Panels, metric: str) -> Iterator[str]:
    """Draw all other metrics, small, without those of single layers and `finished_once`."""
    lines = [pair for few in panels.values() for pair in few]
    names = {
        str(name): x.attrs
        for _, one in lines
        for name, x in one.curves.data_vars.items()
        if set(x.dims) == {"seed", "step"} and name not in (metric, *LARGE)
    }
    apart = {one for name in names for one in layers_of(name, names).values()}
    apart |= {name for name in names if name.startswith(FINISHED)}  # 1 except at first
    names = {name: known for name, known in names.items() if name not in apart}
    if not names:
        return
    yield html.element("h2", "Diagnostics")
    yield html.element("p", "Medians over seeds and the middle half of the seeds.", class_="note")
    for number, (environment, few) in enumerate(panels.items()):
        made = {name: interactive.diagnostic(few, name) for name in names}
        parts = [
            html.raw("div", html.element("h3", axis_label(names[name], name)),
                     interactive.fragment(figure, f"diagnostic-{number}-{name}"))
            for name, figure in made.items()
            if figure is not None
        ]  # fmt: skip
        if len(panels) > 1:
            yield html.element("h3", environment)
        yield html.raw("div", *parts, class_="grid")


def _settings(datasets: Mapping[str, Any], records: Mapping[str, Any]) -> Iterator[str]:
    """Write how it was made: plan, command, settings, versions."""
    yield html.element("h2", "Configuration")
    for label, dataset in datasets.items():
        written, known = records.get(label, {}), settings.record(dataset)
        groups = settings.tables(known) if known else {}
        groups["Versions"] = json.loads(dataset.attrs.get("versions", "{}"))
        if label:
            yield html.element("h3", label)
        if not known:
            yield html.element("p", OLD, class_="note")
        if "plan" in written:
            yield html.element("h3", "Plan") + html.element("pre", written["plan"])
        if "command" in written:
            command = " ".join(written["command"])
            yield html.element("h3", "Command") + html.element("pre", command)
        parts = (
            html.raw("div", html.element("h3", name), html.facts(values))
            for name, values in groups.items()
            if values
        )
        yield html.raw("div", *parts, class_="grid")
