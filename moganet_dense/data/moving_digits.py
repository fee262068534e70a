"""Clips of images that move in straight lines and bounce, as in Moving MNIST.

Srivastava et al., "Unsupervised Learning of Video Representations using LSTMs", ICML 2015,
https://arxiv.org/abs/1502.04681.
"""

import math

import cv2
import numpy as np

DIGIT = 28 / 64
"""Side of a moving digit, relative to the side of the frame."""

STEP = 0.1
"""Step from frame to frame, relative to the range in which a digit moves."""


def draw_clip(
    digits: np.ndarray, rng: np.random.RandomState, frames: int, size: int, count: int = 2
) -> np.ndarray:
    """A clip of ``count`` moving digits; where they overlap, the brighter pixel is visible.

    Args:
        digits: images to choose from, (N, h, h) uint8.
        rng: chooses digits, places and directions.
        frames: length of the clip.
        size: side of a frame in pixels.
        count: digits in the clip.

    Returns:
        (frames, size, size) uint8.
    """
    clip = np.zeros((frames, size, size), np.uint8)
    side = round(size * DIGIT)
    for _ in range(count):
        digit = digits[rng.randint(len(digits))]
        if digit.shape[0] != side:
            digit = cv2.resize(digit, (side, side), interpolation=cv2.INTER_AREA)
        corners = (_bouncing(rng, frames) * (size - side)).astype(int)
        for frame, (top, left) in zip(clip, corners, strict=True):
            part = frame[top : top + side, left : left + side]
            np.maximum(part, digit, out=part)
    return clip


def _bouncing(rng: np.random.RandomState, count: int) -> np.ndarray:
    """Places (count, 2) in the unit square of a point that moves and bounces off the edges."""
    place, angle = rng.random_sample(2), rng.random_sample() * 2 * math.pi
    step = np.array([math.sin(angle), math.cos(angle)]) * STEP
    places = []
    for _ in range(count):
        place = place + step
        step = np.where((place <= 0) | (place >= 1), -step, step)
        place = place.clip(0, 1)
        places.append(place)
    return np.stack(places)
