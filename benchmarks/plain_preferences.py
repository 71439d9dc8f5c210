"""Learning a density from preferences written plainly in numpy: what the suite is compared with.

One member, from the formulas alone and without any of the suite's code: an energy network of four
layers of 64 tanh on the cells of a line, the likelihood of pairs by Luce's rule as a sum over all
pairs of cells, its gradient by hand, and Adam with a rate that falls like a cosine.
"""

from typing import NamedTuple

import numpy as np

B1, B2, SMALL = 0.9, 0.999, 1e-8
Layers = list[tuple[np.ndarray, np.ndarray]]


class Member(NamedTuple):
    """Weights and biases of the layers, and Adam's moments of them."""

    layers: Layers
    first: Layers
    second: Layers


def begin(layers: Layers) -> Member:
    """A member that starts at these weights."""
    nothing = [(np.zeros_like(w), np.zeros_like(b)) for w, b in layers]
    return Member(layers, nothing, [(w.copy(), b.copy()) for w, b in nothing])


def forward(layers: Layers, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Scores -E f32[N] of places f32[N], and what each layer is given."""
    given = [x[:, None]]
    for weights, bias in layers[:-1]:
        given.append(np.tanh(given[-1] @ weights + bias))
    weights, bias = layers[-1]
    return -(given[-1] @ weights + bias)[:, 0], given


def likelihood(scores: np.ndarray, wins: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss of pairs, wins f32[N, N] by who won (axis 0), and its gradient f32[N]."""
    margins = scores[:, None] - scores[None, :]
    loss = np.logaddexp(0.0, -margins)
    slope = -wins * np.exp(-np.logaddexp(0.0, margins))
    return float((wins * loss).sum()), slope.sum(1) - slope.sum(0)


def backward(layers: Layers, given: list[np.ndarray], slope: np.ndarray) -> Layers:
    """Gradients of all layers, of the loss whose gradient by the scores is known."""
    above, found = -slope[:, None], []
    for i in range(len(layers) - 1, -1, -1):
        found.append((given[i].T @ above, above.sum(0)))
        if i:
            above = (above @ layers[i][0].T) * (1.0 - given[i] ** 2)
    return found[::-1]


def update(member: Member, x: np.ndarray, wins: np.ndarray, rate: float, number: int) -> float:
    """Make step `number`, from 1 on, in place; the loss before it."""
    scores, given = forward(member.layers, x)
    loss, slope = likelihood(scores, wins)
    for layer, one, two, gradient in zip(
        *member, backward(member.layers, given, slope), strict=True
    ):
        for value, mean, square, change in zip(layer, one, two, gradient, strict=True):
            mean += (1 - B1) * (change - mean)
            square += (1 - B2) * (change**2 - square)
            size = np.sqrt(square / (1 - B2**number)) + SMALL
            value -= rate * mean / (1 - B1**number) / size
    return loss
