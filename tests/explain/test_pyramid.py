import numpy as np

from moganet_dense.explain.pyramid import components, strength


def test_strength_is_the_length_of_the_vectors():
    features = np.zeros((3, 2, 2), np.float32)
    features[:, 0, 1] = 2, 3, 6
    assert strength(features).tolist() == [[0, 7], [0, 0]]


def test_components_are_the_directions_in_which_places_differ():
    """Three channels that vary without correlation, 9 : 4 : 1 apart, behind a rotation."""
    rng = np.random.default_rng(0)
    sources = np.stack(np.meshgrid(*[np.linspace(-1, 1, 8)] * 3)).reshape(3, 512)
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 3)))
    features = rotation @ (np.array([[3.0], [2.0], [1.0]]) * sources) + 7
    found = components(features.reshape(5, 16, 32)).reshape(512, 3)
    assert found.min() == 0 and found.max() == 1
    correlations = np.corrcoef(found.T, sources)[:3, 3:]
    assert (abs(correlations.diagonal()) > 0.99).all()


def test_a_map_that_is_the_same_everywhere_is_black():
    assert not components(np.ones((4, 3, 3))).any()
