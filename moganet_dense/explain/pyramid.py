"""Two views of a feature map: its norm at each position, and its principal components."""

import numpy as np


def strength(features: np.ndarray) -> np.ndarray:
    """Norm of the feature vector at each position: (C, h, w) to (h, w) float32."""
    return np.linalg.norm(features, axis=0).astype(np.float32)


def components(features: np.ndarray) -> np.ndarray:
    """The three principal components as red, green and blue: similar features, similar colours.

    Args:
        features: (C, h, w).

    Returns:
        (h, w, 3) float32 from 0 to 1, each component scaled from its 1st to its 99th
        percentile. Its sign, which the eigenvectors leave open, makes the largest loading
        positive.
    """
    channels, height, width = features.shape
    vectors = features.reshape(channels, -1).astype(np.float64)
    vectors -= vectors.mean(axis=1, keepdims=True)
    _, axes = np.linalg.eigh(vectors @ vectors.T)  # ascending
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[abs(axes).argmax(axis=0), range(axes.shape[1])])
    projected = vectors.T @ axes
    low, high = np.percentile(projected, [1, 99], axis=0)
    scaled = np.clip((projected - low) / np.maximum(high - low, 1e-12), 0, 1)
    return scaled.reshape(height, width, -1).astype(np.float32)
