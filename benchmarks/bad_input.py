"""A thousand bad inputs, over Python and over the command line: is each refused in a sentence?

    python -m benchmarks.bad_input

KINDS is the list. Each of its rows has inputs that are made from a seed; each input is tried by
itself, in this process, with a limit of five seconds of the process's time. The right answer is a
ValueError of one to three lines that names the argument (of a command: these lines alone, and exit
code 1 or 2). All else is counted: another exception, a text without the name, accepted, too slow.
"""

import argparse
import contextlib
import io
import json
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import harness

SECONDS = 5.0
OUT = Path("benchmarks/results/bad-input-cpu.json")
OUTCOMES = ("refused", "not named", "other exception", "accepted", "too slow")
TRAIN = "train ppo --env CartPole-v1 --steps 600"
SWEEP = "sweep ppo --env CartPole-v1 --steps 600"


class Slow(BaseException):
    """Raised in what takes more than SECONDS."""


class Kind(NamedTuple):
    """A row of the table.

    over: "Python" or "command line". what: in words. inputs: each {argument: value} or the words of
    a command. names: what the sentence must contain one of; {argument} itself where it is empty.
    """

    over: str
    what: str
    inputs: list[Any]
    names: tuple[str, ...] = ()


NOT_WHOLE = [0.5, 1.5, "3", "", None, [1], {}, True, False, float("nan"), 2 + 0j, b"1", object()]
NOT_NUMBER = ["4000", "", None, [1], {}, True, float("nan"), float("inf"), -float("inf"), 1j, b"1"]
NOT_TEXT = [3, 0.5, True, [], {}, b"a", object()]
WORDS = ["abc", "1x", "--", "1e", "nan3", "0x1", "1,5", "ten", "[]", "None", "1..2", "+-1"]


def python_kinds(seed: int = 0) -> list[Kind]:
    """Arguments of `run`, `sweep`, `plan` and `evolve`."""
    import jax.numpy as jnp

    import purejaxrl_suite

    pjs: Any = purejaxrl_suite  # whose types say what is wrong here
    draw = np.random.default_rng(seed)
    below = [int(x) for x in -draw.integers(1, 10**6, 6)]
    dqn, ppo = (pjs.DQNConfig(), pjs.DQNHypers()), pjs.PPOConfig()
    huge = [10**9, 2**31, 10**8 * 7, 2**32, 2**32 + 1, 10**30]
    seeds = [-1, 0, 2**32 + 5, *below, "12", "seeds", 3.0, True, None, {1, 2}, {0: 1}, b"12", []]
    lists = [[1, 1], [1.7, 2.2], ["1"], [True], [None], [2**32], [-1], [0, 1, 2, 1], [[1]], (1.0,)]
    arrays = [np.ones((2, 2), int), np.array([0.5]), np.array([]), np.array([1, 1]), jnp.zeros(2)]
    periods = [0, *below, *NOT_WHOLE]
    steps = [0, 1, *below, *NOT_NUMBER]
    memory = [0, -1, True, [], {}, "abc", "", "8 XB", "GiB", "-1GiB", "nan", float("nan"), "1e9"]
    metrics = [
        "cheap",
        3,
        None,
        {},
        print,
        [3],
        ["cheap"],
        [None],
        [lambda: 0],
        {lambda a, b, c: 0},
    ]
    done = [3, "redo", print, {}, {"a": 1}, {1: None}, {"": None}, [None], True, 0.5]
    networks = [*NOT_TEXT, "mlp", lambda: 0, lambda a, b: 0, {}, {"a": 3}, {1: print}, (print,)]
    made = [lambda env, x=x: x for x in (None, 0, "net", pjs.Box((1,)), [], print)][1:]
    worlds = [None, 3, "CartPole-v1", [], ["CartPole-v1"], [3], {}, print, True, b"CartPole-v1"]
    settings = [*dqn, {"gamma": 0.9}, [0.9], "default", 3, True, (0.9,), print, ppo]
    configs = [dqn[0], {"num_envs": 4}, "default", 3, [ppo, ppo], [ppo, 3], (ppo,), True, print]
    values = {"learning_rate": [-1.0, float("nan"), "x", None, True, [1.0], 1e39, float("inf")]}
    values["gamma"] = [-0.5, 1.5, "0.9", None, float("nan"), [], 2, -1e-3]
    values["clip"] = [-1.0, "x", None, float("nan")]
    values = {n: x for n, x in values.items() if n in pjs.PPOHypers._fields}
    hypers = [pjs.PPOHypers()._replace(**{n: x}) for n, xs in values.items() for x in xs]
    numbers = [0, -4, 2.5, "4", None, True, float("nan"), [4], 2**40]
    sizes = ("num_envs", "rollout_length", "epochs", "minibatches")
    fields = [ppo._replace(**{name: x}) for name in sizes for x in numbers[:8]]
    own = pjs.make("CartPole-v1").params
    wrong = ["9.8", True, None, float("nan"), float("inf"), [9.8], np.ones(2), 1e39, 1j]
    params = [own.replace(gravity=x) for x in wrong] + [own.replace(length=x) for x in wrong]
    limits = [2.5, "9", None, True, 2**31, float("nan"), [3], -(2**40), np.ones(3, int)]
    params += [own.replace(max_steps_in_episode=x) for x in limits]
    params += [3, "params", {}, (), [], True, pjs.make("Acrobot-v1").params, object]
    folders = [3, 0.5, True, "", " ", [], {}, b"runs", "a\0b", ("runs",), object()]
    bools = ["true", "False", "", 0, 1, None, [], 0.5]
    flags = ("normalize_advantages", "clip_value_loss", "normalize_observations")
    booleans = [ppo._replace(**{name: x}) for name in flags for x in bools if name in ppo._fields]
    rungs = [0, 1, "1", None, [0], [1, 1], [2, 1], [1.5], ["1"], [-1], [True], [25], [], {1}]
    select = [None, 3, "halving", print, lambda: 0, lambda a, b, c: None, lambda a, b, c: 3]

    base = pjs.PPOHypers()
    listed = [[], [1.0, 1.0], "0.9", 3, None, {}, {"a": 1}, range(10**9), [[1], [1]]]
    points = [
        lambda x=x, f=f: f(base, gamma=x)
        for x in listed
        for f in (pjs.search.grid, pjs.search.one_at_a_time)
    ]
    points += [
        lambda x=x: pjs.search.random(base, x, gamma=pjs.search.uniform(0, 1))
        for x in (0, -1, "8", 1.5, 10**8)
    ]
    points += [
        lambda x=x: pjs.search.sobol(base, x, gamma=pjs.search.uniform(0, 1))
        for x in (0, -1, "8", 1.5, 10**8)
    ]
    points += [lambda x=x: pjs.search.random(base, 8, gamma=x) for x in (3, [0.1], "0.9", None)]
    points += [
        lambda: pjs.search.random(base, 8),
        lambda: pjs.search.grid(base, gama=[1]),
        lambda: pjs.search.choice(3),
    ]
    points += [lambda x=x: pjs.search.uniform(*x) for x in ((1, 0), (1, 1), (0, float("nan")))]
    points += [lambda x=x: pjs.search.log_uniform(*x) for x in ((0, 1), (-1, 1), (1, 0.5))]
    points += [lambda: pjs.search.grid(base, **{n: range(1, 99) for n in base._fields})]
    strange = [
        "CartPole",
        "",
        "CartPole-v9",
        "Navix-x",
        "Brax-x",
        "A+B",
        "+",
        "CartPole-v1+",
        "Acrobot",
        "breakout",
        "MiniGrid-",
        "x" * 300,
        "CartPole-v1 ",
    ]
    makes = [lambda x=x: pjs.make(x) for x in strange]
    makes += [lambda x=x: pjs.make("CartPole-v1", length=x) for x in wrong]
    makes += [lambda x=x: pjs.make("CartPole-v1", max_steps_in_episode=x) for x in (0.5, "x", None)]
    makes += [lambda: pjs.make("CartPole-v1", speed=3), lambda: pjs.make("Navix-Empty-5x5-v0", x=1)]

    def each(name: str, xs: list[Any]) -> list[dict[str, Any]]:
        return [{name: x} for x in xs]

    return [
        Kind("Python", "seeds that are no number of seeds", each("seeds", seeds)),
        Kind("Python", "lists of seeds that repeat or are none", each("seeds", lists + arrays)),
        Kind("Python", "more seeds than memory holds", each("seeds", huge)),
        Kind("Python", "steps that are no number or too few", each("steps", steps)),
        Kind("Python", "steps beyond the clock", each("steps", [1e15, 10**16, 1e300, 10**400])),
        *(
            Kind("Python", f"{name} that are no count", each(name, periods))
            for name in ("segments", "checkpoint_every", "keep", "measure_every")
        ),
        Kind("Python", "reset_pool that is no count", each("reset_pool", [-1, *below, *NOT_WHOLE])),
        Kind("Python", "memory that is no size", each("memory", memory)),
        Kind("Python", "metrics that are no list of functions", each("metrics", metrics)),
        Kind("Python", "interventions that are none", each("intervention", done)),
        Kind("Python", "networks that are no function of one", each("network", networks)),
        Kind("Python", "networks that make none", each("network", made)),
        Kind("Python", "environments that are none", each("env", worlds)),
        Kind("Python", "hypers of another agent or type", each("hypers", settings)),
        Kind("Python", "hypers out of range", each("hypers", hypers)),
        Kind("Python", "Configs of another agent or type", each("config", configs)),
        Kind("Python", "Config fields out of range", each("config", fields), sizes),
        Kind("Python", "booleans that are none", each("config", booleans), flags),
        Kind("Python", "environment parameters that do not fit", each("env_params", params)),
        Kind("Python", "out= that is no path", each("out", folders)),
        Kind("Python", "rungs of a population", each("rungs", rungs)),
        Kind("Python", "select of a population", each("select", select)),
        Kind("Python", "points", each("points", points), ("",)),
        Kind("Python", "ids and options of environments", each("points", makes), ("",)),
        Kind("Python", "builders that are none", each("builder", [3, "ppo", None, print, len])),
    ]


def command_kinds(seed: int = 0) -> list[Kind]:
    """Words of every command, in a folder that holds a file, an empty folder and a broken run."""
    draw = np.random.default_rng(seed)
    below = [str(-int(x)) for x in draw.integers(1, 10**6, 5)]
    counts = [*WORDS, *below, "0", "0.5", "1e3.5", "nan", "inf"]
    whole = ("--seeds", "--segments", "--checkpoint-every", "--measure-every")
    names = ["dqm", "PPO", "a3c", "", "-", "ppo2", "./ppo", "3", "ppo,dqn", "train"]
    ids = ["CartPole", "cartpole-v1", "Breakout", "", "CartPole-v7", "Navix-x", "+", "A+B", "3"]
    unknown = [
        "--stepz 3",
        "--seed 3",
        "--lr 1",
        "--config.envs 3",
        "-x",
        "extra",
        "--Steps 3",
        "--steps=x",
        "--outt a",
    ]
    grids = ["gamma", "gamma=", "=0.9", "gamma=a", "gamma=0.9,", "gamma=0.9,0.9", "gama=0.9", ""]
    grids += ["env.x=1", "num_envs=0.5", "num_envs=0", "gamma=2", "gamma=nan", "gamma=0.9;0.8", ","]
    grids += [
        "learning_rate=-1",
        "learning_rate=1e39",
        "env.gravity=x",
        "env.gravity=nan",
        "epochs=",
    ]
    large = "=" + ",".join(str(1 + i) for i in range(3000))
    billions = [f"env.{n}{large}" for n in ("gravity", "length", "masscart")]
    samples = ["8", "gamma=0.9:0.99", "0 gamma=0.9:0.99", "-1 gamma=0.9:0.99", "8 gamma", "x y=1"]
    samples += ["8 gamma=0.9:0.8", "8 gamma=a:b", "8 gamma=0.9:0.99:exp", "8 num_envs=2:4"]
    samples += ["8 gamma=0.9:nan", "8 learning_rate=0:1:log", "8 gamma=0.5:2", "1.5 gamma=0.9:1"]
    counted = ["99999999", "1000000000", "2000000", "9" * 30]
    options = ["length=abc", "length=null", "length=[1]", "length", "=1", "", "speed=3", "length="]
    options += ["length={}", "length=true", "gravity=nan", "length=1 length=2", 'length="x"']
    options += ["max_steps_in_episode=0.5", "max_steps_in_episode=x", "id=3", "params=3"]
    sizes = ["abc", "0", "-1", "8XB", "nan", "GiB", "", "1e9", "[]"]
    layers = ["--network.hidden 0", "--network.hidden -4", "--network.hidden x"]
    layers += ["--network.memory-units -1", "--network.memory-units x", "--network.bridge pol"]
    layers += [
        "--network.bridge pool:x",
        "--network.bridge pool:0",
        "--network.bridge :",
        "--network.x 1",
    ]
    runs = ["nowhere", "file", "empty", "broken", "", ".", "/", "nowhere/run", "file/run", "a\0b"]
    pictures = ["a.xyz", "a", "empty", "file/a.png", "a.txt", "", ".png", "a.html.gz"]
    hypers = ["--hypers.gamma 2", "--hypers.gamma -1", "--hypers.gamma x", "--hypers.gamma nan"]
    hypers += ["--hypers.learning-rate -1", "--hypers.learning-rate inf", "--hypers.gama 0.9"]
    config = ["--config.num-envs 0", "--config.num-envs x", "--config.num-envs -4", "--config.x 1"]
    config += ["--config.epochs 0.5", "--config.minibatches 7", "--config.rollout-length 0"]
    line = "command line"

    def after(start: str, texts: list[str]) -> list[list[str]]:
        return [[*start.split(), *text.split()] for text in texts]

    def flag(start: str, name: str, xs: list[str]) -> list[list[str]]:
        return [[*start.split(), name, *(x.split(" ") if " " in x else [x])] for x in xs]

    return [
        Kind(line, "unknown commands", [[x] for x in names], ("command", "train")),
        *(
            Kind(line, f"unknown agents of {c}", [[c, x] for x in names if x != "PPO"], ("agent",))
            for c in ("train", "sweep", "plan", "show")
        ),
        Kind(line, "unknown environments", flag("train ppo", "--env", ids), ("id", "env")),
        Kind(line, "unknown environments listed", [["envs", x] for x in ids[4:6]], ("id",)),
        Kind(
            line,
            "unknown words",
            after(TRAIN, unknown),
            ("--", "extra", "-x"),
        ),
        *(Kind(line, f"{n} that are no count", flag(SWEEP, n, counts)) for n in whole),
        Kind(line, "steps that are no number or too few", flag(TRAIN, "--steps", counts)),
        Kind(line, "more seeds than memory holds", flag(TRAIN, "--seeds", counted[1::2])),
        Kind(line, "steps beyond the clock", flag(TRAIN, "--steps", ["1e15", "1e300", "9" * 30])),
        Kind(line, "base seeds", flag(TRAIN, "--base-seed", [*below, "x", "4294967296", "0.5"])),
        Kind(line, "unknown presets", flag(TRAIN, "--preset", ["big", "", "3", "minigrd"])),
        Kind(line, "unknown metrics", flag(TRAIN, "--metrics", ["all", "", "3", "cheap costlier"])),
        Kind(line, "unknown interventions", flag(TRAIN, "--intervention", ["undo", "3", "ReDo"])),
        Kind(line, "memory that is no size", flag(SWEEP, "--memory", sizes), ("memory",)),
        Kind(
            line,
            "grids",
            flag(SWEEP, "--grid", grids),
            ("--grid", "hypers", "config", "params", "gamma"),
        ),
        Kind(line, "grids of billions", [[*SWEEP.split(), "--grid", *billions]], ("grid",)),
        Kind(
            line,
            "samples",
            flag(SWEEP, "--sample", samples),
            ("--sample", "form", "hypers", "count"),
        ),
        Kind(
            line,
            "samples of millions",
            [[*SWEEP.split(), "--sample", x, "gamma=0.9:0.99"] for x in counted],
            ("count",),
        ),
        Kind(
            line,
            "options of environments",
            flag(TRAIN, "--options", options),
            ("option", "CartPole", "length", "gravity", "max_steps"),
        ),
        Kind(
            line,
            "networks",
            after(TRAIN, layers),
            ("network", "hidden", "memory_units", "pool"),
        ),
        Kind(line, "hypers out of range", after(TRAIN, hypers), ("hypers",)),
        Kind(
            line,
            "Config fields",
            after(TRAIN, config),
            ("config", "minib"),
        ),
        Kind(
            line,
            "nothing where something is due",
            [["train"], ["train", "ppo"], ["sweep", "ppo"]],
            ("exp",),
        ),
        *(
            Kind(
                line,
                f"{c} of what is no run",
                [[*c.split(), x] for x in runs],
                ("run", "folder", "holds", "path", "broken"),
            )
            for c in ("resume", "report", "render", "export --to csv")
        ),
        Kind(
            line,
            "where a run is to be written",
            flag(TRAIN, "--out", ["file", "file/a", "/proc/a"]),
            ("file", "/proc"),
        ),
        *(
            Kind(line, f"{n} that cannot be written", flag("report run", n, pictures), (n,))
            for n in ("--figure", "--ranking", "--layers")
        ),
        Kind(
            line,
            "--page that cannot be written",
            flag("report run", "--page", pictures),
            ("--page",),
        ),
        Kind(
            line,
            "gallery",
            flag("gallery", "--out", pictures) + flag("gallery", "--results", runs[:4]),
            ("--out", "results"),
        ),
        Kind(
            line,
            "formats of export",
            flag("export run", "--to", ["pdf", "", "CSV", "3"]),
            ("--to",),
        ),
        Kind(line, "numbers of render", flag("render run", "--seeds", counts), ("--seeds",)),
        Kind(line, "steps of render", flag("render run", "--steps", counts), ("--steps",)),
        Kind(
            line,
            "studies",
            [
                ["study", *x.split()]
                for x in ("run", "run x", "show y", "rum", "run bbf --preset big", "")
            ],
            ("study", "--preset"),
        ),
    ]


def try_python(change: dict[str, Any]) -> list[tuple[str, Callable[[], Any]]]:
    """The calls that an argument is an argument of."""
    import purejaxrl_suite as pjs
    from purejaxrl_suite.envs import probes

    env = pjs.make("CartPole-v1") if "env_params" in change else probes.delayed_reward()
    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    shared = {"env": env, "seeds": 1, "steps": 640, "progress": False}
    varied = shared | {"builder": pjs.ppo, "config": config}
    points = pjs.search.grid(pjs.PPOHypers(), gamma=[0.9, 0.99])
    rules = {"hypers": points, "select": pjs.successive_halving(), "rungs": [1]}
    (name,) = change
    if name == "points":
        return [("points", change[name])]
    calls: list[tuple[Any, dict[str, Any]]] = [(pjs.sweep, varied)]
    if name in ("rungs", "select"):
        calls = [(pjs.evolve, varied | rules)]
    if name in ("seeds", "steps", "env", "segments", "memory", "metrics"):
        calls += [(pjs.run, shared | {"agent": pjs.ppo(probes.delayed_reward(), config)})]
    return [(f.__name__, lambda f=f, known=known: f(**(known | change))) for f, known in calls]


def outcome(call: Callable[[], Any], names: tuple[str, ...]) -> tuple[str, str]:
    """What became of a call of Python, and the text of the error."""
    try:
        with _limit():
            call()
    except Slow:
        return "too slow", ""
    except ValueError as error:
        return _judged(str(error), names), str(error)
    except Exception as error:
        return "other exception", f"{type(error).__name__}: {error}"
    return "accepted", ""


def command_outcome(words: list[str], names: tuple[str, ...]) -> tuple[str, str]:
    """What became of a command, and what it said."""
    from purejaxrl_suite import cli

    said = io.StringIO()
    try:
        with _limit(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(words)
    except Slow:
        return "too slow", ""
    except SystemExit as stop:
        code = stop.code
    except Exception as error:
        return "other exception", f"{type(error).__name__}: {error}"
    text = said.getvalue().strip()
    return (_judged(text, names), text) if code in (1, 2) else ("accepted", text)


def _judged(text: str, names: tuple[str, ...]) -> str:
    short = 1 <= len(text.splitlines()) <= 3 and "Traceback" not in text
    return "refused" if short and any(name in text for name in names) else "not named"


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    """Raise Slow after SECONDS of this process's time."""

    def late(*_: Any) -> None:
        raise Slow

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def prepare(folder: Path) -> None:
    """What commands are pointed at: a file, folders that are no runs. All imports are made."""
    import purejaxrl_suite as pjs

    pjs.ids()
    (folder / "file").write_text("text")
    (folder / "empty").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "config.json").write_text("{")
    (folder / "run").mkdir()


def measure(kind: Kind, most: int | None = None) -> tuple[Counter[str], list[str]]:
    """Outcomes of the inputs of a kind, at most so many; what was not refused, in words."""
    found, wrong = Counter(), []
    for given in kind.inputs[:most]:
        if kind.over == "Python":
            (name,) = given
            tries = [(f, outcome(call, kind.names or (name,))) for f, call in try_python(given)]
        else:
            flag = next((word for word in reversed(given) if word.startswith("--")), "")
            own = flag, flag.removeprefix("--").replace("-", "_")
            tries = [("", command_outcome(given, kind.names or own))]
        for called, (what, text) in tries:
            found[what] += 1
            if what != "refused":
                wrong.append(f"{kind.what}: {called} {given}: {what}: {text[:300]}")
    return found, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, help="of each kind")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as home, contextlib.chdir(home):
        prepare(Path(home))
        for kind in python_kinds(arguments.seed) + command_kinds(arguments.seed):
            found, wrong = measure(kind, arguments.most)
            rows.append({"over": kind.over, "kind": kind.what, **{x: found[x] for x in OUTCOMES}})
            print(kind.over, kind.what, dict(found), *wrong, sep="\n  ", flush=True)
    total = {x: sum(row[x] for row in rows) for x in OUTCOMES}
    print(f"{sum(total.values())} inputs: {total}")
    content = {"context": harness.context(), "rows": rows, "total": total}
    arguments.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
