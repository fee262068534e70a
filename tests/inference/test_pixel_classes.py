"""Classes of pixels, a few classes at a time, compared with PyTorch with all at once."""

import pytest
import torch
import torch.nn.functional as F

from moganet_dense.inference.pixel_classes import AT_ONCE, certainty, label_pixels


@pytest.mark.parametrize('classes', [2, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 5])
@pytest.mark.parametrize('corners', [False, True])
def test_it_is_the_argmax_of_all_classes(classes, corners):
    logits = 3 * torch.randn(2, classes, 7, 9, generator=torch.Generator().manual_seed(classes))
    size = (31, 20)
    whole = F.interpolate(logits, size, mode='bilinear', align_corners=corners)
    labels, highest = label_pixels(logits, *size, corners)
    assert labels.dtype == torch.int64 and torch.equal(labels, whole.argmax(1))
    assert torch.equal(highest, whole.amax(1))
    found = certainty(logits, highest, corners)
    torch.testing.assert_close(found, whole.softmax(1).amax(1))


def test_of_equals_it_is_the_first():
    labels, highest = label_pixels(torch.zeros(1, 2 * AT_ONCE, 2, 2), 4, 4, False)
    assert (labels == 0).all() and (highest == 0).all()
