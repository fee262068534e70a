"""J(m) of functions whose interactions are known in closed form.

For Delta(i, j, S) = v(S + i + j) - v(S + i) - v(S + j) + v(S), written out in each test.
"""

import numpy as np
import pytest

from moganet_dense.explain.interactions import interaction_strength

N = 7
ORDERS = range(N - 1)
ALL_PAIRS = dict(pairs=N * (N - 1) // 2, contexts=4)


def test_a_sum_has_no_interaction():
    weights = np.arange(N) + 1.0
    found = interaction_strength(lambda sets: sets @ weights, N, ORDERS, **ALL_PAIRS)
    assert np.allclose(found.absolute, 0) and (found.relative == 0).all()


def test_the_product_of_two_players_interacts_at_every_order_alike():
    """v = x0 x1: Delta is 1 for the pair {0, 1} and every S, else 0; 1 of 21 pairs."""

    def value(sets):
        return (sets[:, 0] & sets[:, 1]).astype(float)

    found = interaction_strength(value, N, ORDERS, **ALL_PAIRS)
    assert np.allclose(found.absolute, 1 / 21)
    assert np.allclose(found.relative, 1)


def test_a_quadratic_form_interacts_by_its_weights_at_every_order():
    """v = sum over i < j of w_ij x_i x_j: Delta(i, j, S) = w_ij for every S."""
    weights = np.triu(np.random.default_rng(0).normal(size=(N, N)), 1)

    def value(sets):
        x = sets.astype(float)
        return np.einsum('bi,ij,bj->b', x, weights, x)

    found = interaction_strength(value, N, ORDERS, **ALL_PAIRS)
    assert np.allclose(found.absolute, np.abs(weights[np.triu_indices(N, 1)]).mean())
    assert np.allclose(found.relative, 1)


def test_the_cube_of_the_size_interacts_more_the_larger_the_context():
    """v = |S|^3, |S| = m: (m + 2)^3 - 2 (m + 1)^3 + m^3 = 6 (m + 1)."""
    found = interaction_strength(lambda s: s.sum(1).astype(float) ** 3, N, ORDERS, **ALL_PAIRS)
    m = np.arange(N - 1)
    assert np.allclose(found.absolute, 6 * (m + 1))
    assert np.allclose(found.relative, (m + 1) / np.mean(m + 1))


def test_all_players_together_is_the_highest_order_alone():
    """v = 1 if S is everybody: Delta is 1 only when S is everybody but i and j, m = n - 2."""
    found = interaction_strength(lambda s: s.all(1).astype(float), N, ORDERS, **ALL_PAIRS)
    assert np.allclose(found.absolute, [0] * (N - 2) + [1])
    assert np.allclose(found.relative, [0] * (N - 2) + [N - 1])


def test_any_player_at_all_is_the_lowest_order_alone():
    """v = 1 if S is not empty: Delta is 1 - 1 - 1 + 0 = -1 for empty S, else 0."""
    found = interaction_strength(lambda s: s.any(1).astype(float), N, ORDERS, **ALL_PAIRS)
    assert np.allclose(found.absolute, [1] + [0] * (N - 2))


def test_the_product_of_three_players_grows_with_the_order():
    """v = x0 x1 x2: Delta(0, 1, S) = 1 if 2 is in S, which holds for m of n - 2 others; of 21
    pairs, 3 are among the three. Sampled, so within four standard errors of each mean."""
    contexts = 800
    found = interaction_strength(
        lambda s: s[:, :3].all(1).astype(float), N, ORDERS, pairs=21, contexts=contexts
    )
    chance = np.arange(N - 1) / (N - 2)
    error = np.sqrt(chance * (1 - chance) / contexts / 3)
    assert (abs(found.absolute * 21 / 3 - chance) <= 4 * error + 1e-12).all()


def test_contexts_have_the_size_of_the_order_and_leave_the_pair_out():
    seen = []

    def value(sets):
        seen.append(sets.reshape(-1, 4, N))
        return np.zeros(len(sets))

    interaction_strength(value, N, [3], pairs=2, contexts=5)
    for sets in seen:
        assert (sets.sum(2) == [5, 4, 4, 3]).all()
        assert (sets[:, 0] == sets[:, 1] | sets[:, 2]).all()
        assert (sets[:, 3] == sets[:, 1] & sets[:, 2]).all()


def test_a_seed_gives_the_same_and_another_seed_other_sets():
    def value(sets):
        return (sets @ np.arange(40.0)) ** 1.5

    def draw(seed):
        return interaction_strength(value, 40, [0, 19, 38], pairs=5, contexts=3, seed=seed).absolute

    assert (draw(1) == draw(1)).all() and (draw(1) != draw(2)).any()


def test_an_order_that_no_context_has_is_an_error():
    with pytest.raises(ValueError, match='expected 0 to 5, found'):
        interaction_strength(lambda s: s.sum(1), N, [6])
