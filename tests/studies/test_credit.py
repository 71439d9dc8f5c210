"""Studies of credit assignment: arms on few seeds, and effects on made-up numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import mdps
from purejaxrl_suite.studies import emphatic, expected_traces
from purejaxrl_suite.studies import forethought_and_hindsight as planning
from purejaxrl_suite.studies.computation import Computed

KEY = jax.random.key(0)


def made(**values):
    return Computed({name.replace("_", " "): np.asarray(x) for name, x in values.items()}, None)


def test_streams_of_two_states_diverge_or_do_not(monkeypatch):
    """A seed's numbers do not depend on its neighbours."""
    monkeypatch.setitem(emphatic.N, emphatic.TWO, (1,))
    lost = {}
    for name in ("TD", "NETD"):
        found = emphatic.compute(name, (emphatic.TWO,), range(3, 11))
        lost[name] = float(emphatic.share(Computed(found, None), emphatic.TWO, 1).value)
        alone = emphatic.compute(name, (emphatic.TWO,), [4])
        one, same = found["two states 1 error"][1:2], alone["two states 1 error"]
        np.testing.assert_allclose(one, same, rtol=1e-3)
    assert lost == {"TD": 1.0, "NETD": 0.0}


def test_step_sizes_are_chosen_on_other_seeds():
    area = np.full((32, 14), 9.0)
    area[::2, 3], area[1::2, 3], area[1::2, 5], area[8:] = 1.0, 4.0, 0.0, np.nan
    np.testing.assert_array_equal(emphatic.best_areas(made(collision_5_area=area)), [4.0] * 4)
    better = made(collision_5_area=area - 0.5)
    effect = emphatic.worse(KEY, better, made(collision_5_area=area))
    np.testing.assert_allclose(effect[:3], -0.5)


def test_an_end_that_is_no_number_has_diverged():
    growth = np.array([[1.0], [np.inf], [np.nan], [11.0]])
    assert float(emphatic.share(made(Baird_1_growth=growth), "Baird", 1).value) == 0.75


def test_the_first_reward_changes_one_state_one_path_or_more():
    found = {
        name: expected_traces.compute(name, (expected_traces.SQUARE,), range(4))
        for name in ("TD(0)", "TD(lambda)", "ET(lambda)")
    }
    states = {
        name: float(expected_traces.credited(KEY, Computed(x, None)).value)
        for name, x in found.items()
    }
    assert states["TD(0)"] == 1.0 and states["TD(lambda)"] == 9.0 and states["ET(lambda)"] > 11.0


def test_layers_are_learnt_by_every_method_from_one_experience():
    """In the first episode, with a step size of 1, TD sets the value to the reward."""
    rule, found = mdps.planned_td(True, True), {}
    for size in (0.0, 1.0):
        hypers = mdps.PlanningHypers(1.0, size, 1.0, 0.9, episodes=40.0)
        run = jax.jit(partial(planning.predicted, (3, 2), 40, rule))
        found[size] = run(jax.tree.map(jnp.float32, hypers), KEY)
    of_mdp, of_stream = jax.random.split(KEY)
    one, policy = mdps.bipartite(of_mdp, (3, 2)), jnp.ones((5, 1))
    step = jax.tree.map(lambda x: x[0], mdps.experience(of_stream, one, policy, policy, 40))
    v = np.array(mdps.state_values(one, policy))[:3]
    left = v - np.eye(3)[step.state] * float(step.reward)
    np.testing.assert_allclose(found[0.0]["curve"][0], np.sqrt(np.mean(left**2)), rtol=1e-4)
    assert found[1.0]["error"] != found[0.0]["error"]


def test_the_maze_ends_after_its_episodes(monkeypatch):
    monkeypatch.setattr(planning, "MAZE_EPISODES", 3)
    hypers = jax.tree.map(jnp.float32, mdps.PlanningHypers(episodes=3.0))
    rule = mdps.planned_q(4, backward=True, current=True)
    found = jax.jit(partial(planning.controlled, rule))(hypers, KEY)
    assert 0 <= found["reward"] <= 3 and 39 <= found["steps"] <= 1200
