"""The command line runs what users wrote: agents, environments, metrics and studies."""

import sys
from importlib.metadata import EntryPoint

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.cli import experiment, flags
from purejaxrl_suite.core import plugins
from purejaxrl_suite.envs import ids, make
from purejaxrl_suite.sweeps import curves
from tests.shared import command

WRITTEN = '''
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.envs import probes, wrappers


class MineConfig(NamedTuple):
    """What changes the program.

    Attributes:
        num_envs: environments that step together.
    """

    num_envs: Annotated[int, Range(1, integer=True)] = 2


class MineHypers(NamedTuple):
    """What may be swept.

    Attributes:
        gamma: the discount.
    """

    gamma: Annotated[float, Range(0, 1)] = 0.5


def mine(env, config: MineConfig | None = None, network=None, hypers: MineHypers | None = None):
    config, hypers = config or MineConfig(), hypers or MineHypers()
    settings = pjs.PPOConfig(config.num_envs, 16, epochs=1, minibatches=1)
    network = network or nets.actor_critic(env.observation, env.action, hidden=(4,))
    inner = pjs.ppo(env, settings, network, extra_loss=small_outputs)

    def with_all(function, place):
        def called(*given):
            full = inner.hypers._replace(gamma=given[place].gamma)
            return function(*given[:place], full, *given[place + 1 :])

        return called

    own = {"init": with_all(inner.init, 1), "act": with_all(inner.act, 1)}
    own |= {"update": with_all(inner.update, 1), "probe": with_all(inner.probe, 1)}
    keep = {"anneal": lambda hypers, clock: hypers, "estimate": None, "config": config}
    return inner._replace(name="mine", hypers=hypers, **own, **keep)


sparse_mine = pjs.sparse(mine, pjs.sparsity.static())


def small_outputs(inputs: pjs.LossInputs):
    size = jnp.mean(jnp.square(inputs.output.value))
    return 0.1 * size, {"value_size": size}


def corridor(length=3):
    return wrappers.time_limit(probes.delayed_reward(), length)


def largest_weight(learner, probe, inspection):
    leaves = [jnp.max(jnp.abs(x)) for x in jax.tree.leaves(learner.params)]
    return {"largest_weight": jnp.max(jnp.stack(leaves))}


def still():
    return plasticity.redo(0.0)


def plain(env, config, network, hypers):
    return pjs.ppo(env, config, network, hypers)


THREE = 3
'''


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The name of a module of the user's in the folder that commands run in."""
    (tmp_path / "of_the_user.py").write_text(WRITTEN)
    monkeypatch.chdir(tmp_path)
    yield "of_the_user"
    sys.modules.pop("of_the_user", None)


def test_the_command_line_trains_what_users_wrote(written, tmp_path, capsys):
    parts = f"--env {written}:corridor --metrics {written}:largest_weight --measure-every 1"
    size = "--seeds 2 --steps 64 --segments 2"
    own = "--hypers.gamma 0.25 --options length=2"
    assert command(f"train {written}:mine {parts} {size} {own} --out x") == 0, capsys.readouterr()
    found = curves.read(tmp_path / "x" / "curves.zarr")
    assert found["largest_weight"].dims == ("seed", "step")
    assert {"extra_loss", "value_size"} <= set(found.data_vars)
    assert command("report x") == 0
    assert "gamma" in (tmp_path / "x" / "report.html").read_text()
    assert pjs.load(tmp_path / "x").curves.equals(found)
    given = flags.parse(
        "train", experiment.Train, [*f"ppo {parts} --intervention".split(), f"{written}:still"]
    )
    assert "redo(tau=0)" in given.plasticity["intervention"].name


def test_agents_of_the_users_own_are_trained_sparse(written):
    def hypers(words):
        given = flags.parse("train", experiment.Train, f"{words} --env CartPole-v1".split())
        (group,) = experiment.lay_out(given).groups
        assert group.agent.name.startswith("mine with static(constant, ")
        return group.agent.hypers._asdict()

    flag = hypers(f"{written}:mine --sparse.method static --sparse.target 0.5 --hypers.gamma 0.25")
    assert flag == {"gamma": 0.25, "sparsity": 0.5}
    assert hypers(f"{written}:sparse_mine --hypers.sparsity 0.5 --hypers.gamma 0.25") == flag


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothere:mine --env CartPole-v1", "nothere cannot be imported: ModuleNotFoundError"),
        ("{}:yours --env CartPole-v1", "of_the_user has no yours"),
        ("{}: --env CartPole-v1", "expected package.module:function, got 'of_the_user:'"),
        ("{}:plain --env CartPole-v1", "its argument `config` to be annotated with a NamedTuple"),
        ("{}:THREE --env CartPole-v1", "(env, config, network, hypers) -> Agent, got 3"),
        ("ppo --env {}:mine", "--env: of_the_user:mine: "),
        ("ppo --env {}:still", "expected of_the_user:still to return an Environment"),
        ("ppo --env CartPole-v1 --metrics {}:THREE", "--metrics[0]: expected a function"),
        ("ppo --env CartPole-v1 --intervention {}:corridor", "to return an Intervention"),
        ("{}:mine --env CartPole-v1 --network.hidden 4", "no flags change the network of"),
        ("{}:sparse_mine --env CartPole-v1 --sparse.method rigl", "of this one are sparse already"),
    ],
)
def test_refusals(written, text, said, capsys):
    assert command(f"train {text.format(written)} --seeds 1 --steps 64") == 2
    assert said in capsys.readouterr().err


def test_a_study_of_ones_own(written, capsys):
    assert command(f"study show {written}:THREE") == 2
    assert "expected a Study, got 3" in capsys.readouterr().err
    name = "purejaxrl_suite.studies.statistical_precipice"
    assert command(f"study show {name}:STUDY") == 0
    assert "How far do point estimates" in capsys.readouterr().out


def test_entry_points_of_installed_packages(written, monkeypatch, capsys):
    offered = {
        plugins.AGENTS: [EntryPoint("mine", f"{written}:mine", plugins.AGENTS)],
        plugins.ENVIRONMENTS: [EntryPoint("corridor", f"{written}:corridor", "")],
    }
    monkeypatch.setattr(plugins, "entry_points", lambda group: offered[group])
    with pytest.raises(SystemExit, match="0"):
        command("train mine --help")
    assert "--hypers.gamma" in capsys.readouterr().out
    assert "corridor" in ids()
    assert make("corridor", length=2).recipe
    with pytest.raises(ValueError, match="environment 'corridors'; did you mean corridor"):
        make("corridors")
