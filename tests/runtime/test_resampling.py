"""Resizing without Pillow, held against Pillow."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from moganet_dense.runtime.resampling import resize

side = st.integers(1, 90)


@given(side, side, side, side, st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=150, deadline=None)
def test_it_is_pillows_bicubic(height, width, to_height, to_width, seed, hard):
    picture = np.random.RandomState(seed).randint(0, 256, (height, width, 3), np.uint8)
    if hard:  # black and white: where a bicubic overshoots
        picture = np.where(picture > 127, 255, 0).astype(np.uint8)
    wanted = Image.fromarray(picture).resize((to_width, to_height), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(picture, to_width, to_height), np.asarray(wanted))


def test_what_is_much_taller_than_wide():
    picture = np.random.RandomState(0).randint(0, 256, (500, 3, 3), np.uint8)
    for size in ((248, 330), (2, 499), (248, 900)):
        wanted = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resize(picture, *size), np.asarray(wanted))


def test_a_window_is_a_part_of_the_whole():
    picture = np.random.RandomState(0).randint(0, 256, (70, 50, 3), np.uint8)
    whole = resize(picture, 99, 33)
    np.testing.assert_array_equal(resize(picture, 99, 33, (5, 3, 60, 30)), whole[3:30, 5:60])


def test_a_photograph_in_both_directions():
    rows, columns = np.mgrid[:600, :800]
    picture = np.stack([rows % 256, columns % 256, (rows * columns) % 256], -1).astype(np.uint8)
    for size in ((331, 248), (1000, 601), (800, 77)):
        wanted = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(resize(picture, *size), np.asarray(wanted))
