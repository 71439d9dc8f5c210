"""Studies of learning to learn: effects on made-up numbers, what arms share, and small runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.envs.lifetime_goals import MOVES, free_cells
from purejaxrl_suite.studies import frodo, modac
from purejaxrl_suite.studies import intrinsic_rewards as rewards
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.judging import measured
from purejaxrl_suite.studies.study_result import Cost
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
COST = Cost("made up", ("none",), 9, 9, 1e5, 0.0, 1.0, 1.0)
CELLS = free_cells()


def computed(**values):
    return Computed({name: np.asarray(x) for name, x in values.items()}, COST)


def effects(study, arms):
    return [float(measured(KEY, claim, arms).value) for claim in study.STUDY.claims]


def level(of, seeds=9, points=modac.POINTS):
    return np.full((seeds, points), of)


def discovery():
    """Options that end in one cell each, two of them in the same one."""
    ends = np.zeros((9, 4, len(CELLS)))
    for option, cell in enumerate((0, 5, 7, 7)):
        ends[:, option, cell] = 3.0
    late = level(0.1)
    late[:, -modac.LATE :] = 0.6
    return {"discovery": late, "share": level(0.4), "length": level(3.5), "ends": ends}


def options():
    return {
        modac.MODAC: computed(score=level(0.5), **discovery()),
        modac.RANDOM: computed(score=level(0.2)),
        modac.DOORWAYS: computed(score=level(0.6)),
        modac.ACTIONS: computed(score=level(0.3)),
    }


def test_effects_and_gates_of_options():
    found = effects(modac, options())
    assert found == pytest.approx([0.2, 0.3, 0.5 - 0.42, 0.4, 3.5, 5 / 6], abs=1e-5)
    assert gates_of(modac.STUDY, options()) == pytest.approx(
        {"learns": 0.6, "doors": 0.3}, abs=1e-5
    )


def test_the_figure_has_a_map_for_every_option():
    scores, went, *maps = modac.figure(KEY, options())
    assert len(scores.lines) == 4 and len(went.lines) == 2 and len(maps) == 4
    assert scores.lines[0].x[-1] == 1e5 and went.lines[0].x[-1] == pytest.approx(1e6)
    board = np.array(maps[1].values)
    assert np.isfinite(board).sum() == 104 and board[CELLS[5]] == 1.0 and np.nansum(board) == 1.0


def test_shortest_paths():
    far = modac.distances()
    assert far[CELLS.index((1, 1)), CELLS.index((1, 5))] == 4
    assert far[CELLS.index((1, 1)), CELLS.index((11, 11))] == 20
    assert np.array_equal(far, far.T) and far.max() < 30
    goals = [CELLS.index((8 + i, 2 + j)) for i in range(3) for j in range(3)]
    steps = np.array([far[start, goal] for goal in goals for start in range(104) if start != goal])
    assert modac.best(True) == pytest.approx(1.0 / steps.mean())


def test_options_made_by_hand_go_to_their_doorway():
    known, _ = modac.by_hand(0.0, KEY)
    policy = np.asarray(known.options["heads"]["policy"]["kernel"])
    ends = np.asarray(known.rule["terminations"]["head"]["kernel"])
    for option, door in enumerate(modac.DOORS):
        for start in ((1, 1), (11, 11), (1, 11), (9, 2)):
            here, steps = start, 0
            while here != door:
                assert ends[CELLS.index(here), option] < 0
                move = MOVES[int(np.argmax(policy[option, CELLS.index(here)]))]
                here, steps = (here[0] + move[0], here[1] + move[1]), steps + 1
            assert ends[CELLS.index(door), option] > 0
            assert steps == modac.distances()[CELLS.index(start), CELLS.index(door)]


def test_windows_of_curves():
    rows = jnp.arange(45.0)
    np.testing.assert_allclose(modac.thin(rows), 5.5 + 2 * np.arange(20))


def lives(seeds, **values):
    """Scores f[S, UPDATES], or f[S, RATES, UPDATES]."""
    return {
        name: computed(score=np.repeat(np.asarray(x, float)[..., None], rewards.UPDATES, -1))
        for name, x in values.items()
    }


def test_effects_and_gates_of_learned_rewards():
    seeds = 8
    task = np.tile([0.1, 0.5, 0.7, 0.6, 0.2], (seeds, 1))
    task[::2, 3], task[1::2, 3] = 0.9, 0.8  # chosen by some seeds and judged by the others
    names = (rewards.LEARNED, rewards.EPISODIC, rewards.SINGLE, rewards.UNLEARNT)
    levels = dict(zip(names, (0.75, 0.6, 0.7, 0.0), strict=True))
    arms = lives(seeds, **{n: [x] * seeds for n, x in levels.items()}, **{rewards.TASK: task})
    found = effects(rewards, arms)
    assert found == pytest.approx([0.25, -0.05, 0.15, 0.05], abs=1e-5)
    assert gates_of(rewards.STUDY, arms) == pytest.approx({"learns": 0.8, "learnt": 0.75}, abs=1e-5)
    within, rates = rewards.figure(KEY, arms)
    assert len(within.lines) == 5 and len(rates.lines) == 2
    assert within.lines[-1].label.endswith("rate 10")


def curves(early, late):
    """Curves of nine seeds that catch so many balls, in the first nine tenths and at the end."""
    dims, values = ("environment", "seed", "step"), np.full((1, 9, 20), early, np.float32)
    values[..., -2:] = late
    data = {"success": (dims, values), "episodes": (dims, np.ones_like(values))}
    data["diverged"] = (dims[:-1], np.zeros(values.shape[:-1], bool))
    return xr.Dataset(data, {"environment": [frodo.CATCH], "step": np.arange(20)})


def test_effects_and_gates_of_learned_targets():
    arms = {
        frodo.FRODO: curves(0.5, 0.95),
        frodo.FREE: curves(0.6, 0.96),
        frodo.LAMBDA: curves(0.9, 0.99),
        frodo.REWARDS: curves(0.3, 0.4),
    }
    found = effects(frodo, arms)
    assert found == pytest.approx([0.95, 0.95, -0.04, 0.9 * -0.1 - 0.1 * 0.01], abs=1e-4)
    assert gates_of(frodo.STUDY, arms) == pytest.approx(
        {"bootstrapping": 0.99, "needed": 0.4}, abs=1e-4
    )
    (panel,) = frodo.figure(KEY, arms)
    assert len(panel.lines) == 4 and panel.against == pytest.approx(5 / 11)


@pytest.mark.slow
def test_arms_of_options_on_few_steps():
    """All of them, and that a seed does not depend on its neighbours."""
    steps = float(modac.STEPS * modac.POINTS / modac.NEW)
    for name, arm in modac.arms(modac.STUDY.quick._replace(steps=steps, seeds=2)).items():
        found = arm.compute([3, 4])
        assert found["score"].shape == (2, modac.POINTS) and np.isfinite(found["score"]).all()
        alone = arm.compute([4])
        np.testing.assert_allclose(found["score"][1:, :3], alone["score"][:, :3], rtol=1e-3)
        if name != modac.ACTIONS:
            assert found["ends"].shape == (2, 4, 104) and found["ends"].sum() > 0


@pytest.mark.slow
def test_arms_of_learned_rewards_on_few_steps(monkeypatch):
    monkeypatch.setattr(rewards, "LIFETIMES", 8)
    for name, arm in rewards.arms(rewards.STUDY.quick._replace(steps=2.0 * rewards.STEPS)).items():
        found = arm.compute([3, 4])["score"]
        shape = (2, len(rewards.RATES), rewards.UPDATES) if name == rewards.TASK else (2, 25)
        assert found.shape == shape and np.isfinite(found).all()
