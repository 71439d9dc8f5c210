"""Diagnostic MDPs of credit assignment with closed forms, derived by hand.

Features, policies and constants are those of the papers' code where it is public: Baird's example
as in Sutton and Barto 2018, chapter 11; the collision task of Ghiassian and Sutton 2021, arXiv
2106.00922; multi-chain and the walk to a corner of van Hasselt et al. 2021, arXiv 2007.01839; the
umbrella chain of bsuite, arXiv 1908.03568.
"""

from collections.abc import Callable
from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import boolean, integer, number
from purejaxrl_suite.mdps.mdp import MDP, constant_policy, tabular, uniform_policy


class Diagnostic(NamedTuple):
    """An MDP with two policies, linear features and what is known about them.

    mdp: S states. behaviour, target: f[S, A]. features: f[S, K], 0 in terminal states. weights:
    f[K], where learning starts. v: f[S], values of the target policy. d_mu: f[S], stationary
    distribution of the behaviour. emphasis: n -> f[S] as `emphasis` computes it, or None where
    there is no closed form. z: gamma times lambda -> f[S, K] as `expected_trace` of the behaviour
    computes it, or None.
    """

    mdp: MDP
    behaviour: np.ndarray
    target: np.ndarray
    features: np.ndarray
    weights: np.ndarray
    v: np.ndarray
    d_mu: np.ndarray
    emphasis: Callable[[int], np.ndarray] | None = None
    z: Callable[[float], np.ndarray] | None = None


def two_state(gamma: float = 0.9) -> Diagnostic:
    """Build the example "w, 2w": values w and 2w of two states, actions left and right, reward 0.

    Actions lead to the first or second state from both. The behaviour is uniform, the target goes
    right. Off-policy TD(0) diverges. Sutton, Mahmood and White 2016, arXiv 1503.04269.
    """
    features, weights = np.array([[1.0], [2.0]]), np.ones(1)
    return _to_one_of_two(np.full(2, 0.5), features, weights, gamma, 0.5)


def baird(gamma: float = 0.99) -> Diagnostic:
    """Build Baird's counterexample: seven states, eight features, reward 0.

    The dashed action leads to one of the six upper states, the solid one to the lower. The
    behaviour is dashed in six of seven steps, the target solid.
    """
    features = np.concatenate([2.0 * np.eye(7), np.ones((7, 1))], axis=1)
    features[6, 6:] = 1.0, 2.0
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 1.0])
    return _to_one_of_two(np.full(7, 1.0 / 7.0), features, weights, gamma, 6.0 / 7.0)


def _to_one_of_two(
    d_mu: np.ndarray, features: np.ndarray, weights: np.ndarray, gamma: float, away: float
) -> Diagnostic:
    """Build an MDP whose second action leads to the last state, and whose first to the others."""
    states = len(d_mu)
    last = np.eye(states)[-1]
    rows = np.stack([(1.0 - last) / (states - 1), last])
    mdp = tabular(np.tile(rows, (states, 1, 1)), np.zeros((states, 2)), gamma)

    def emphasis(n: int) -> np.ndarray:
        decay = gamma**n
        at_last = (d_mu[-1] + decay * d_mu[:-1].sum()) / (1.0 - decay)
        return np.append(d_mu[:-1], at_last)

    return Diagnostic(
        mdp=mdp,
        behaviour=constant_policy(mdp, [away, 1.0 - away]),
        target=constant_policy(mdp, [0.0, 1.0]),
        features=features,
        weights=weights,
        v=np.zeros(states),
        d_mu=d_mu,
        emphasis=emphasis,
        # The behaviour forgets at every step where it was.
        z=lambda decay: features + decay / (1.0 - decay) * (d_mu @ features),
    )


def collision(gamma: float = 0.9, seed: int = 0) -> Diagnostic:
    """Build the collision task: eight states in a row, of which the first four are starts.

    Actions are forward and, in the last four states, turn, which ends the episode without reward;
    forward in the last state ends it with reward 1. The behaviour turns half of the time, the
    target never. Features are eight of the twenty patterns of three ones in six.

    Args:
        gamma: the discount.
        seed: of the draw of features.
    """
    states, at = 9, np.arange(8)
    transition = np.zeros((states, 2, states))
    transition[at, :, at + 1] = 1.0
    transition[4:8, 1] = np.eye(states)[8]
    reward = np.zeros((states, 2))
    reward[7, 0] = 1.0
    first, ends = np.append(np.full(4, 0.25), np.zeros(5)), np.arange(states) == 8
    mdp = tabular(transition, reward, gamma, start=first, terminal=ends)
    patterns = np.array([[i in ones for i in range(6)] for ones in combinations(range(6), 3)])
    drawn = np.random.default_rng(seed).permutation(20)[:8]
    features = np.append(patterns[drawn].astype(float), np.zeros((1, 6)), axis=0)
    d_mu = np.array([2, 4, 6, 8, 8, 4, 2, 1, 0]) / 35.0
    came = np.array([0, 1 / 2, 2 / 3, 3 / 4, 1, 1, 1, 1, 0])  # from the state before
    behaviour = np.where((np.arange(states) >= 4)[:, None], 0.5, np.array([1.0, 0.0]))

    def emphasis(n: int) -> np.ndarray:
        found = d_mu.copy()
        for s in range(n, 8):
            found[s] += gamma**n * found[s - n]
        return found

    def z(decay: float) -> np.ndarray:
        found = features.copy()
        for s in range(1, 8):
            found[s] += decay * came[s] * found[s - 1]
        return found

    return Diagnostic(
        mdp=mdp,
        behaviour=behaviour,
        target=constant_policy(mdp, [1.0, 0.0]),
        features=features,
        weights=np.zeros(6),
        v=np.append(gamma ** (7.0 - at), 0.0),
        d_mu=d_mu,
        emphasis=emphasis,
        z=z,
    )


def random_walk(states: int = 5, reward: float = 1.0) -> Diagnostic:
    """Build the random walk: from the middle, left or right, to an end on either side.

    The right end pays `reward`, the left end its negative; gamma is 1. v(i) is linear from end to
    end.

    Args:
        states: between the ends, an odd number.
        reward: of the right end.
    """
    integer("states", states, 1)
    if states % 2 == 0:
        raise ValueError(f"states: expected an odd number, got {states}")
    number("reward", reward)
    at, total = np.arange(states), states + 2
    transition, paid = np.zeros((total, 2, total)), np.zeros((total, 2, total))
    transition[at, 0, np.where(at, at - 1, states)] = 1.0
    transition[at, 1, np.where(at < states - 1, at + 1, states + 1)] = 1.0
    paid[..., states], paid[..., states + 1] = -reward, reward
    start = np.eye(total)[states // 2]
    mdp = tabular(transition, paid, 1.0, start=start, terminal=np.arange(total) >= states)
    nearest = np.minimum(at + 1, states - at)
    values = np.append(reward * (2.0 * (at + 1) / (states + 1) - 1.0), [0.0, 0.0])
    visits = np.append(nearest / nearest.sum(), [0.0, 0.0])
    return _on_policy(mdp, values, visits)


def delayed_chain(length: int, gamma: float = 0.99, noisy: bool = False) -> Diagnostic:
    """Build a chain whose first action decides about the last reward, -1 or 1, `length` steps on.

    Args:
        length: steps of an episode.
        gamma: the discount.
        noisy: every step before the last pays -1 or 1, by a coin.
    """
    return _first_decides(np.array([[-1.0, 1.0]]), length, gamma, noisy)


def umbrella_chain(length: int, gamma: float = 0.99) -> Diagnostic:
    """Build the umbrella chain: the first action must fit the first observation.

    In one of the two starts it will rain. The first action takes the umbrella or not; every step
    pays -1 or 1 by a coin, and the last one 1 if one has the umbrella just when it rains, else -1.

    Args:
        length: steps of an episode.
        gamma: the discount.
    """
    return _first_decides(np.array([[1.0, -1.0], [-1.0, 1.0]]), length, gamma, True)


def _first_decides(final: np.ndarray, length: int, gamma: float, noisy: bool) -> Diagnostic:
    """Build a chain whose last reward is final[start, first action]; the policy is uniform."""
    integer("length", length, 1)
    coins = (-1.0, 1.0) if boolean("noisy", noisy) else (0.0,)
    starts, actions = final.shape
    nodes = [_Node(0, start) for start in range(starts)]
    later = product(range(1, length), range(starts), range(actions), coins)
    nodes += [_Node(*values) for values in later]
    index = {node: i for i, node in enumerate(nodes)}
    transition, reward = np.zeros((2, len(nodes) + 1, actions, len(nodes) + 1))
    for node, action in product(nodes, range(actions)):
        first = action if node.time == 0 else node.first
        if node.time == length - 1:
            transition[index[node], action, -1] = 1.0
            reward[index[node], action, -1] = final[node.start, first]
            continue
        for coin in coins:
            to = index[_Node(node.time + 1, node.start, first, coin)]
            transition[index[node], action, to] = 1.0 / len(coins)
            reward[index[node], action, to] = coin
    times = np.array([node.time for node in nodes])
    ends = np.arange(len(nodes) + 1) == len(nodes)
    paid = [final[n.start].mean() if n.time == 0 else final[n.start, n.first] for n in nodes]
    passed = [[y.precedes(x) / (len(coins) if y.time else 1) for y in nodes] for x in nodes]
    width = starts * np.where(times, actions * len(coins), 1)
    return _on_policy(
        tabular(
            transition,
            reward,
            gamma,
            start=(~ends & (np.cumsum(~ends) <= starts)) / starts,
            terminal=ends,
        ),
        v=np.append(gamma ** (length - 1.0 - times) * paid, 0.0),
        d_mu=np.append(1.0 / (length * width), 0.0),
        times=times,
        came=np.array(passed),
    )


class _Node(NamedTuple):
    """A state of `_first_decides`: what is known from the first step on, and the last coin."""

    time: int
    start: int
    first: int = 0
    coin: float = 0.0

    def precedes(self, other: "_Node") -> bool:
        """Tell whether an episode may pass this state and then the other."""
        alike = self.time == 0 or self.first == other.first
        return self.time < other.time and self.start == other.start and alike


def multi_chain(
    chains: int = 4, length: int = 4, probability: float = 0.9, gamma: float = 0.99
) -> Diagnostic:
    """Build chains of which each episode walks one, drawn alike, to a state that they share.

    That state pays 1 with the given probability and -1 else, and the episode ends. There is one
    action.

    Args:
        chains: how many.
        length: states of each, before the one they share.
        probability: of the reward 1.
        gamma: the discount.
    """
    integer("chains", chains, 1)
    integer("length", length, 1)
    number("probability", probability, low=0.0, high=1.0)
    join = chains * length
    times = np.append(np.tile(np.arange(length), chains), length)
    transition, reward = np.zeros((2, join + 3, 1, join + 3))
    at = np.arange(join)
    transition[at, 0, np.where(times[:-1] == length - 1, join, at + 1)] = 1.0
    transition[join, 0, join + 1 :] = probability, 1.0 - probability
    reward[join, 0, join + 1 :] = 1.0, -1.0
    start = np.append((times == 0) / chains, [0.0, 0.0])
    ends = np.arange(join + 3) > join
    chain = np.append(at // length, -1)
    same = (chain[:, None] == chain) | (chain == -1)[:, None]
    came = same & (times < times[:, None])
    mean = 2.0 * probability - 1.0
    return _on_policy(
        tabular(transition, reward, gamma, start=start, terminal=ends),
        v=np.append(gamma ** (length - 1.0 * times) * mean, [0.0, 0.0]),
        d_mu=np.append(np.where(times == length, 1.0, 1.0 / chains) / (length + 1), [0.0, 0.0]),
        times=times,
        came=came / np.where(chain == -1, chains, 1)[:, None],
    )


def corner_walk(size: int = 5, probability: float = 0.2, gamma: float = 0.99) -> Diagnostic:
    """Build a walk over a square, right or down by a coin, from one corner to the opposite one.

    Paths part and merge. At an edge all actions follow it. An action in the last corner ends the
    episode, with reward 1 by the given probability.

    Args:
        size: cells of each side.
        probability: of the reward.
        gamma: the discount.
    """
    integer("size", size, 2)
    number("probability", probability, low=0.0, high=1.0)
    down, right = np.divmod(np.arange(size * size), size)
    cells, total = size * size, size * size + 2
    to = np.stack([down * size + right + 1, (down + 1) * size + right])
    to[0, right == size - 1] = to[1, right == size - 1]
    to[1, down == size - 1] = to[0, down == size - 1]
    transition, reward = np.zeros((2, total, 2, total))
    for action in range(2):
        transition[np.arange(cells - 1), action, to[action, :-1]] = 1.0
    transition[cells - 1, :, cells:] = probability, 1.0 - probability
    reward[cells - 1, :, cells] = 1.0
    passes, times = np.eye(cells), down + right  # passes[i, j]: from i one comes by j
    for i in reversed(range(cells - 1)):
        passes[i] = np.maximum(passes[i], passes[to[:, i]].mean(axis=0))
    visits = passes[0]
    came = (passes * visits[:, None] / visits).T * (times < times[:, None])
    ends = np.arange(total) >= cells
    left = 2 * (size - 1) - times
    return _on_policy(
        tabular(transition, reward, gamma, start=np.eye(total)[0], terminal=ends),
        v=np.append(probability * gamma**left, [0.0, 0.0]),
        d_mu=np.append(visits / (2 * size - 1), [0.0, 0.0]),
        times=times,
        came=came,
    )


def _on_policy(
    mdp: MDP,
    v: np.ndarray,
    d_mu: np.ndarray,
    times: np.ndarray | None = None,
    came: np.ndarray | None = None,
) -> Diagnostic:
    """Build a diagnostic of the uniform policy with one-hot features.

    times: steps from the start to each state that is not terminal, if these are certain.
    came: the probability that an episode in state [i] has passed state [j] before.
    """
    ends, policy = np.asarray(mdp.terminal), uniform_policy(mdp)
    features = np.where(ends[:, None], 0.0, np.eye(len(v)))[:, ~ends]
    known = Diagnostic(mdp, policy, policy, features, np.zeros(np.sum(~ends)), v, d_mu)
    if times is None or came is None:
        return known
    at, passed, gamma = times, came, float(mdp.gamma)

    def emphasis(n: int) -> np.ndarray:
        traces = [np.sum(gamma ** (n * np.arange(t // n + 1.0))) for t in at]
        return np.append(traces, np.zeros(np.sum(ends))) * d_mu

    def z(decay: float) -> np.ndarray:
        apart = np.maximum(at[:, None] - at[None, :], 0)
        return features + np.pad(passed * decay**apart, ((0, np.sum(ends)), (0, 0)))

    return known._replace(emphasis=emphasis, z=z)
