"""What is read from a ring, against trajectories written by hand and walked step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from purejaxrl_suite.buffers import mixed, uniform
from purejaxrl_suite.core.types import Box, Discrete, Transition
from tests.buffers import histories

START, ROWS = 1, 12


def golden(terminal=None, cut=None, **sizes):
    """One environment, 12 rows, reward 2^row, and at most one end."""
    sizes = {"capacity": 24, "num_envs": 1, "rollout_length": ROWS, "max_n": 10} | sizes
    replay = histories.compiled(**sizes)
    ends = np.zeros((2, ROWS, 1), bool)
    if terminal is not None:
        ends[0, terminal] = True
    if cut is not None:
        ends[1, cut] = True
    steps = histories.rollout(0, *ends)
    steps = steps._replace(reward=jnp.asarray(2.0 ** np.arange(ROWS)[:, None], jnp.float32))
    return replay, replay.add(replay.init(), steps)


def read(replay, ring, slots, n, gamma):
    slots = np.asarray(slots, np.int32)
    return jax.device_get(replay.read(ring, slots, n, gamma))


# Where the episode terminates, and then of the 3-step window from row 1: steps, reward with
# gamma 1 (rows 1, 2, 3 add 2, 4, 8), the observation after it (None where it has no value).
THREE_STEPS = [
    (0, 3, 14.0, 4.0),
    (1, 1, 2.0, None),
    (2, 2, 6.0, None),
    (3, 3, 14.0, None),
    (4, 3, 14.0, 4.0),
]


@pytest.mark.parametrize(("terminal", "steps", "reward", "after"), THREE_STEPS)
def test_three_steps_by_hand(terminal, steps, reward, after):
    batch = read(*golden(terminal), [START], 3, 1.0)
    assert (batch.steps[0], batch.reward[0], batch.discount[0]) == (steps, reward, 1.0)
    assert batch.terminated[0] == (after is None)
    assert after is None or batch.next_obs[0, 0] == after
    assert batch.weight[0] == 1.0 and not batch.truncated[0]
    half = read(*golden(terminal), [START], 3, 0.5)  # every reward is then worth 2
    assert (half.reward[0], half.discount[0]) == (2.0 * steps, 0.5**steps)


@pytest.mark.parametrize("n", range(1, 11))
def test_every_n_and_every_place_of_a_terminal(n):
    for terminal in range(START - 1, START + n + 1):
        batch = read(*golden(terminal), [START], jnp.int32(n), 1.0)
        inside = START <= terminal < START + n
        steps = terminal - START + 1 if inside else n
        assert batch.terminated[0] == inside
        assert batch.reward[0] == 2.0 ** (START + steps) - 2.0  # rows START .. START + steps - 1
        assert batch.steps[0] == steps
        assert inside or batch.next_obs[0, 0] == START + n


@pytest.mark.parametrize("n", [1, 3, 10])
def test_a_cut_is_bootstrapped_from_its_true_successor(n):
    for cut in range(START - 1, START + n + 1):
        batch = read(*golden(cut=cut), [START], n, 1.0)
        inside = START <= cut < START + n
        steps = cut - START + 1 if inside else n
        assert (batch.truncated[0], batch.steps[0]) == (inside, steps)
        assert batch.reward[0] == 2.0 ** (START + steps) - 2.0
        assert batch.next_obs[0, 0] == (cut + 0.5 if inside else START + n)
        assert not batch.terminated[0] and batch.weight[0] == 1.0
    both = read(*golden(terminal=START, cut=START), [START], n, 1.0)
    assert both.terminated[0] and both.truncated[0]


def test_windows_end_before_a_cut_whose_successor_is_lost():
    """All 12 rows share one place, and a later cut has taken it."""
    replay, ring = golden(cut=[4, 9])
    assert replay.layout.spacing >= ROWS
    batch = read(replay, ring, [1, 3, 4, 5, 8, 9], 4, 1.0)
    np.testing.assert_array_equal(batch.steps, [3, 1, 0, 4, 2, 1])
    np.testing.assert_array_equal(batch.weight, [1, 1, 0, 1, 1, 1])
    np.testing.assert_array_equal(batch.next_obs[:, 0], [4, 4, 4, 9, 9.5, 9.5])
    np.testing.assert_array_equal(batch.truncated, [0, 0, 0, 0, 1, 1])
    assert batch.reward[2] == 0.0 and batch.discount[2] == 1.0
    # With a time limit that allows such cuts, nothing is lost.
    replay, ring = golden(cut=[4, 9], time_limit=5)
    batch = read(replay, ring, [1, 4], 4, 1.0)
    np.testing.assert_array_equal(batch.next_obs[:, 0], [4.5, 4.5])
    np.testing.assert_array_equal(batch.steps, [4, 1])


SHAPES = [  # environments, rollout, capacity, n, time limit
    (1, 1, 7, 2, 1),
    (2, 3, 25, 4, 1),
    (3, 4, 100, 3, 2),
    (2, 16, 96, 5, 4),
    (2, 6, 72, 20, 3),
    (2, 2, 64, 4, 9),
]


@pytest.mark.parametrize(("n_envs", "length", "capacity", "n", "limit"), SHAPES)
def test_windows_equal_walks_through_all_laps_of_the_ring(n_envs, length, capacity, n, limit):
    sizes = {"num_envs": n_envs, "rollout_length": length, "max_n": n, "time_limit": limit}
    replay = histories.compiled(capacity=capacity, **sizes)
    at, gamma = replay.layout, 0.75
    total = 3 * at.rows
    ends = np.random.default_rng(0).random((2, total, n_envs)) < 0.2
    # Cuts at least `limit` apart, as a time limit makes them.
    ends[1] &= np.arange(total)[:, None] % limit == limit - 1
    ring = replay.init()
    for row in range(0, total, length):
        ring = replay.add(ring, histories.rollout(row, *ends[:, row : row + length]))
        newest = row + length
        rows = np.arange(max(0, newest - at.rows), newest - n)
        if len(rows) == 0:
            continue
        # The oldest group of rows may have lost a cut to the newest one.
        lapped = newest > at.rows and newest % at.spacing > 0
        rows = rows[rows >= newest - at.rows + (at.spacing if lapped else 0)]
        rows, envs = np.meshgrid(rows, np.arange(n_envs))
        rows, envs = np.ravel(rows), np.ravel(envs)
        slots = rows % at.rows * n_envs + envs
        batch = read(replay, ring, np.resize(slots, at.slots), n, gamma)
        batch = type(batch)(*(x[: len(slots)] for x in batch[:-1]), {})
        np.testing.assert_array_equal(batch.obs[:, 0], 1000.0 * envs + rows)
        np.testing.assert_array_equal(batch.action, (rows + envs) % 300)
        for i, (r, e) in enumerate(zip(rows, envs, strict=True)):
            reward, discount, after, steps = histories.n_step(r, e, n, gamma, *ends)
            assert (batch.steps[i], batch.terminated[i]) == (steps, after is None)
            assert after is None or batch.next_obs[i, 0] == after
            np.testing.assert_allclose(batch.reward[i], reward, 1e-5)
            np.testing.assert_allclose(batch.discount[i], discount, 1e-5)


def test_shorter_windows_than_the_longest_are_those_of_a_smaller_replay():
    replay, ring = golden(terminal=7)
    slots = np.arange(9)
    for n in (1, 2, 5):
        short, small = golden(terminal=7, max_n=n)
        ours, theirs = (
            read(replay, ring, slots, jnp.int32(n), 0.9),
            read(short, small, slots, n, 0.9),
        )
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-6), ours, theirs)


def test_sequences_stay_in_their_episode():
    replay, ring = golden(terminal=3, cut=8)
    slots = np.asarray([0, 2, 6, 8])
    found = jax.device_get(replay.sequences(ring, slots, 4))
    assert found.obs.shape == (5, 4, 1) and found.reward.shape == (4, 4)
    mask = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]
    np.testing.assert_array_equal(found.mask.T, mask)
    np.testing.assert_array_equal(found.terminated.T[:2], [[0, 0, 0, 1], [0, 1, 0, 0]])
    np.testing.assert_array_equal(found.truncated.T[2:], [[0, 0, 1, 0], [1, 0, 0, 0]])
    np.testing.assert_array_equal(found.obs[:4, 0, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(found.obs[:4, 2, 0], [6, 7, 8, 8.5])
    np.testing.assert_array_equal(found.obs[:2, 3, 0], [8, 8.5])
    np.testing.assert_array_equal((found.reward * found.mask).T[1], [4, 8, 0, 0])


def test_draws_are_uniform_over_the_complete_windows():
    replay = histories.compiled(capacity=24, num_envs=2, rollout_length=4, max_n=3)
    none = np.zeros((4, 2), bool)
    ring = replay.init()
    for row in range(0, 20, 4):
        ring = replay.add(ring, histories.rollout(row, none, none))
    slots, probability = replay.draw(jax.random.key(0), ring, 20_000, 3)
    np.testing.assert_allclose(probability, 1 / 18)
    counts = np.bincount(np.asarray(slots), minlength=24)
    # Rows 8 .. 19 are stored, rows 17 .. 19 (5 .. 7 of the ring) have no three successors yet.
    expected = np.ones((12, 2), bool)
    expected[[5, 6, 7]] = False
    np.testing.assert_array_equal(counts > 0, expected.ravel())
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    # The newest half of the capacity: rows 14 .. 16 start windows of three steps.
    slots = replay.draw(jax.random.key(0), ring, 1000, 3, jnp.float32(0.5)).slot
    assert set(np.asarray(slots) // 2) == {2, 3, 4}
    obs = replay.stats_batch(jax.random.key(1), ring, 500)
    assert set(np.asarray(obs).ravel() % 1000) == set(range(8, 20))


def test_learners_share_windows_of_several_replays():
    """Replays in a dict are one state; whoever has the slots reads the same steps, in its own way.

    A batch for statistics is kept by whoever looks: it stays what it is when the ring goes on.
    """
    sizes = {"num_envs": 1, "rollout_length": ROWS, "max_n": 3}
    replays = {
        "long": histories.compiled(capacity=48, **sizes),
        "short": histories.compiled(capacity=24, **sizes),
    }
    none = np.zeros((ROWS, 1), bool)
    rings = {name: replay.init() for name, replay in replays.items()}
    for row in range(0, 36, ROWS):
        steps = histories.rollout(row, none, none)
        rings = {name: replay.add(rings[name], steps) for name, replay in replays.items()}
        if row == ROWS:
            kept = replays["long"].stats_batch(jax.random.key(2), rings["long"], 8)
    assert rings["long"].filled == 36 and rings["short"].filled == 24
    slots = {n: r.draw(jax.random.key(1), rings[n], 64, 3).slot for n, r in replays.items()}
    for name, replay in replays.items():
        one, other = (read(replay, rings[name], slots[name], n, g) for n, g in ((1, 0.9), (3, 1.0)))
        for field in ("obs", "action", "slot"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        np.testing.assert_array_equal(one.next_obs + 2.0, other.next_obs)
        np.testing.assert_allclose(other.reward, 3.0 * one.reward + 3.0)
        assert (one.obs.min() < 12.0) == (name == "long")
    assert kept.max() < 24.0


def test_ready_counts_what_is_stored():
    replay, ring = golden()
    none = np.zeros((ROWS, 1), bool)
    assert replay.ready(ring, 12.0, 3) and not replay.ready(ring, 13.0, 3)
    assert not replay.ready(replay.init(), 0.0, 1)
    full = replay.add(ring, histories.rollout(ROWS, none, none))
    assert replay.ready(full, 1e6, 3), "a full replay cannot hold more"


def test_members_equal_themselves_alone():
    replay = histories.compiled(capacity=24, num_envs=2, rollout_length=4, max_n=3)
    ends = np.random.default_rng(1).random((3, 2, 4, 2)) < 0.3

    @jax.jit
    def member(key, steps):
        ring = replay.add(replay.add(replay.init(), steps), steps)
        return ring, replay.read(ring, replay.draw(key, ring, 5, 2).slot, 2, 0.9)

    keys = jax.random.split(jax.random.key(0), 3)
    rollouts = [histories.rollout(10 * i, *ends[i]) for i in range(3)]
    fleet = jax.jit(jax.vmap(member))(keys, jax.tree.map(lambda *x: np.stack(x), *rollouts))
    for i in range(3):
        alone = member(keys[i], rollouts[i])
        ours = jax.tree.map(lambda x, i=i: x[i], fleet)
        jax.tree.map(np.testing.assert_array_equal, ours, alone)


def test_extras_and_continuous_actions_are_kept():
    sizes = {"capacity": 8, "num_envs": 1, "rollout_length": 2}
    spaces = {"logits": Box((3,)), "source": Discrete(4)}
    replay = uniform(Box((2,)), Box((2,)), extras=spaces, **sizes)
    obs, flags = jnp.arange(4.0).reshape(2, 1, 2), jnp.zeros((2, 1), bool)
    extras = {"logits": jnp.ones((2, 1, 3)), "source": jnp.full((2, 1), 3), "dropped": obs}
    steps = Transition(obs, -obs, jnp.ones((2, 1)), flags, flags, obs, extras)
    batch = read(replay, replay.add(replay.init(), steps), [1], 1, 1.0)
    np.testing.assert_array_equal(batch.action, [[-2.0, -3.0]])
    assert batch.extras["source"].tolist() == [3] and batch.extras["source"].dtype == jnp.int32
    assert set(batch.extras) == {"logits", "source"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"capacity": 12}, "capacity=12"),
        ({"capacity": 2**31}, "capacity=2147483648: expected at most 1,073,741,824 steps"),
        ({"max_n": 0}, "max_n=0"),
        ({"num_envs": 0}, "num_envs=0"),
    ],
)
def test_sizes_that_make_no_sense(changed, message):
    with pytest.raises(ValueError, match=message):
        golden(**changed)


def test_elements_of_a_batch_are_replaced_by_those_of_another_ring():
    """The other has rewards of 100 and more; share 0 changes no bit, 1 replaces everything."""
    sizes = {"num_envs": 2, "rollout_length": 6, "max_n": 2}
    own, other = (
        uniform(histories.OBSERVATION, histories.ACTION, capacity=c, **sizes) for c in (24, 48)
    )
    replay, ends = mixed(own, other), np.zeros((2, 6, 2), bool)
    steps = histories.rollout(0, *ends)
    state = replay.add(replay.init(), steps)
    assert not replay.ready(state, 1, 2)
    theirs = steps._replace(reward=steps.reward + 100.0)
    state = state._replace(other=other.add(state.other, theirs))
    assert replay.ready(state, 12, 2) and not replay.ready(state, 13, 2)
    again = replay.add(state, theirs)
    jax.tree.map(np.testing.assert_array_equal, again.other, state.other)

    @jax.jit
    def batch(share):
        now, key = state._replace(share=share), jax.random.key(0)
        drawn = replay.draw(key, now, 256, 2)
        plain = own.draw(key, state.own, 256, 2)
        found = replay.read(now, drawn.slot, 2, 0.5), replay.sequences(now, drawn.slot, 2)
        return drawn, *found, plain, own.read(state.own, plain.slot, 2, 0.5)

    for share in (0.0, 0.25, 1.0):
        drawn, found, walked, plain, read = batch(share)
        replaced = np.asarray(found.reward > 100)
        np.testing.assert_array_equal(walked.reward[0] >= 100, replaced)
        np.testing.assert_array_equal(found.obs, walked.obs[0])
        np.testing.assert_array_equal(found.slot >= own.layout.slots, replaced)
        assert stats.binomtest(int(replaced.sum()), 256, share).pvalue > 1e-3
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(read), strict=True):
            np.testing.assert_array_equal(x[~replaced], y[~replaced])
        if not share:
            jax.tree.map(np.testing.assert_array_equal, drawn, plain)
