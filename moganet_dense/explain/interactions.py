"""Multi-order interactions: the effect of two parts of an input together, beyond each alone.

Deng, Ren, Zhang, Zhang, "Discovering and Explaining the Representation Bottleneck of DNNs",
ICLR 2022, https://arxiv.org/abs/2111.06236, section 2; MogaNet's paper, section 3, draws J(m)
of several networks. docs/explain.md has the definition and the sampling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Value = Callable[[np.ndarray], np.ndarray]
"""v: sets as a bool array (B, n), one row a set of players, to (B,) numbers."""


@dataclass(frozen=True)
class Strength:
    """Interaction strength by order.

    Attributes:
        orders: (K,) sizes m of the context, from 0 to n - 2.
        absolute: (K,) mean over the pairs of ``|I(m)(i, j)|``, in units of v.
        relative: (K,) J(m): ``absolute`` over its mean; zeros where that is zero.
    """

    orders: np.ndarray
    absolute: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        mean = self.absolute.mean()
        return self.absolute / mean if mean > 0 else np.zeros_like(self.absolute)


def interaction_strength(
    value: Value,
    players: int,
    orders: Sequence[int],
    pairs: int = 16,
    contexts: int = 8,
    seed: int = 0,
) -> Strength:
    """J(m) for each order m, by sampling pairs and contexts.

    Args:
        value: v, called with four sets for each context of a pair at a time.
        players: n, at least 2.
        orders: sizes m of the contexts S, each from 0 to n - 2.
        pairs: pairs {i, j} sampled without repetition, at most n (n - 1) / 2; the same for
            every order.
        contexts: sets S sampled for each pair and order.
        seed: of the sampling.

    Raises:
        ValueError: an order out of range.
    """
    if wrong := [m for m in orders if not 0 <= m <= players - 2]:
        raise ValueError(f'orders: expected 0 to {players - 2}, found {wrong}')
    generator = np.random.default_rng(seed)
    chosen = _draw_pairs(generator, players, pairs)
    found = [
        [_interaction(value, players, pair, m, contexts, generator) for pair in chosen]
        for m in orders
    ]
    return Strength(np.asarray(orders), np.abs(found).mean(axis=1))


def _draw_pairs(generator: np.random.Generator, players: int, pairs: int) -> np.ndarray:
    first, second = np.triu_indices(players, 1)
    chosen = generator.choice(len(first), size=min(pairs, len(first)), replace=False)
    return np.stack([first[chosen], second[chosen]], axis=1)


def _interaction(
    value: Value,
    players: int,
    pair: np.ndarray,
    order: int,
    contexts: int,
    generator: np.random.Generator,
) -> float:
    """I(m)(i, j): mean over contexts S of v(S + i + j) - v(S + i) - v(S + j) + v(S)."""
    others = np.setdiff1d(np.arange(players), pair)
    sets = np.zeros((contexts, 4, players), dtype=bool)
    for of_context in sets:
        of_context[:, generator.choice(others, size=order, replace=False)] = True
    i, j = pair
    sets[:, [0, 1], i] = True
    sets[:, [0, 2], j] = True
    both, only_i, only_j, neither = value(sets.reshape(-1, players)).reshape(contexts, 4).T
    return float(np.mean(both - only_i - only_j + neither))
