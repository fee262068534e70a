"""Preprocessors with few launches and no waits, against the toolboxes' own."""

import copy

import numpy as np
import pytest
import torch
from counted_waits import waits
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope

NORM = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
SIZES = {
    'alike': [(24, 40)] * 3,
    'one': [(33, 17)],
    'unlike': [(24, 40), (33, 17), (8, 50)],
}
KINDS = [
    ('mmdet', 'DetDataPreprocessor', dict(NORM, bgr_to_rgb=True, pad_size_divisor=32)),
    ('mmdet', 'DetDataPreprocessor', dict(NORM, rgb_to_bgr=True, pad_value=7)),
    ('mmdet', 'DetDataPreprocessor', dict(NORM)),
    ('mmdet', 'DetDataPreprocessor', dict(bgr_to_rgb=True, pad_size_divisor=5)),
    ('mmpose', 'PoseDataPreprocessor', dict(NORM, bgr_to_rgb=True)),
    ('mmpose', 'PoseDataPreprocessor', dict(mean=[3.0], std=[2.0], pad_size_divisor=16)),
    ('mmseg', 'SegDataPreProcessor', dict(NORM, bgr_to_rgb=True, size_divisor=32)),
    ('mmseg', 'SegDataPreProcessor', dict(mean=[1.0], std=[2.0], rgb_to_bgr=True, size=(64, 64))),
    ('mmpretrain', 'ClsDataPreprocessor', dict(NORM, to_rgb=True, num_classes=5)),
    ('mmpretrain', 'ClsDataPreprocessor', dict(num_classes=5, pad_size_divisor=32)),
]
MIXES = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]


def pair(scope: str, kind: str, options: dict) -> list[torch.nn.Module]:
    """Ours and the toolbox's."""
    pytest.importorskip(scope)
    with DefaultScope.overwrite_default_scope(scope):
        return [MODELS.build(ConfigDict(copy.deepcopy(dict(options, type=t))))
                for t in (f'Device{kind}', kind)]  # fmt: skip


def images(sizes: list[tuple[int, int]], channels: int = 3) -> list[torch.Tensor]:
    random = np.random.RandomState(0)
    return [torch.from_numpy(random.randint(0, 255, (channels, *size), np.uint8)) for size in sizes]


def samples(scope: str, sizes: list[tuple[int, int]]) -> list:
    if scope == 'mmdet':
        from mmdet.structures import DetDataSample as Sample
    elif scope == 'mmpose':
        from mmpose.structures import PoseDataSample as Sample
    elif scope == 'mmpretrain':
        from mmpretrain.structures import DataSample

        return [DataSample().set_gt_label(i) for i, _ in enumerate(sizes)]
    else:
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        return [SegDataSample(gt_sem_seg=PixelData(data=torch.ones(1, *size).long()))
                for size in sizes]  # fmt: skip
    return [Sample(metainfo=dict(img_shape=size)) for size in sizes]


def same_samples(found: list, expected: list) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.metainfo == theirs.metainfo
        assert ours.keys() == theirs.keys()
        for key in theirs.keys():  # noqa: SIM118  (a data element)
            a, b = (getattr(x.get(key), 'data', x.get(key)) for x in (ours, theirs))
            assert torch.equal(a, b) and a.dtype == b.dtype, key


@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize(('scope', 'kind', 'options'), KINDS, ids=str)
def test_images_are_bitwise_those_of_the_toolbox(scope, kind, options, sizes):
    if scope == 'mmpretrain' and sizes == 'unlike' and 'pad_size_divisor' not in options:
        options = dict(options, pad_size_divisor=8)
    training = scope != 'mmseg' or sizes != 'unlike' or 'size' in options
    data = dict(inputs=images(SIZES[sizes]), data_samples=samples(scope, SIZES[sizes]))
    if not training:
        data = dict(inputs=data['inputs'][:1], data_samples=data['data_samples'][:1])
    results = [each(copy.deepcopy(data), training) for each in pair(scope, kind, options)]
    found, expected = (each['inputs'] for each in results)
    assert found.dtype == expected.dtype == torch.float32 and found.stride() == expected.stride()
    assert torch.equal(found, expected)
    same_samples(*(each['data_samples'] for each in results))


def test_a_batch_of_a_collating_loader():
    batch = torch.stack(images(SIZES['alike']))
    for scope, kind, options in KINDS[:6]:
        ours, theirs = pair(scope, kind, options)
        data = dict(inputs=batch, data_samples=samples(scope, SIZES['alike']))
        found, expected = (each(copy.deepcopy(data), True)['inputs'] for each in (ours, theirs))
        assert torch.equal(found, expected)


@pytest.mark.parametrize('channels', [1, 4])
def test_other_numbers_of_channels(channels):
    for scope, kind, options in (KINDS[6], KINDS[7], KINDS[3]):
        ours, theirs = pair(scope, kind, dict(options, mean=[1.0], std=[2.0]))
        data = dict(
            inputs=images([(8, 8)] * 2, channels), data_samples=samples(scope, [(8, 8)] * 2)
        )
        if kind == 'DetDataPreprocessor' and channels == 1:  # there is nothing to swap
            for each in (ours, theirs):
                with pytest.raises((IndexError, RuntimeError)):
                    each(data, True)
            continue
        found, expected = (each(copy.deepcopy(data), True)['inputs'] for each in (ours, theirs))
        assert torch.equal(found, expected)
    ours, _ = pair('mmdet', 'DetDataPreprocessor', NORM)
    with pytest.raises(AssertionError, match='mean has 3 values'):  # as mmengine
        ours(dict(inputs=images([(8, 8)] * 2, channels), data_samples=None), True)


@pytest.mark.parametrize('augments', [MIXES, MIXES[:1], MIXES[1:], None], ids=str)
@pytest.mark.parametrize('labels', ['one', 'several', 'scores', 'none'])
def test_classes_and_mixes_are_bitwise_those_of_mmpretrain(labels, augments):
    options = dict(NORM, to_rgb=True, num_classes=6)
    if augments:
        options['batch_augments'] = dict(augments=augments)
    ours, theirs = pair('mmpretrain', 'ClsDataPreprocessor', options)
    sizes = [(16, 24)] * 8
    batch = samples('mmpretrain', sizes)
    for i, sample in enumerate(batch):
        sample.set_gt_label([i % 6, 0] if labels == 'several' and i % 3 == 1 else i % 6)
        if labels == 'scores':
            sample.set_gt_score(torch.rand(6))
        if labels == 'none':
            del sample.gt_label
    for training in (True, False):
        for seed in range(6):  # both mixes are drawn
            results = []
            for each in (ours, theirs):
                np.random.seed(seed)
                torch.manual_seed(seed)
                data = dict(inputs=images(sizes), data_samples=copy.deepcopy(batch))
                results.append(each(data, training))
                results[-1]['next'] = torch.rand(1), np.random.rand()  # as many were drawn
            found, expected = results
            assert torch.equal(found['inputs'], expected['inputs'])
            assert found['next'] == expected['next']
            same_samples(found['data_samples'], expected['data_samples'])


def test_a_class_that_is_not_there_is_an_error_as_in_mmpretrain():
    options = dict(num_classes=2, to_onehot=True)
    for each in pair('mmpretrain', 'ClsDataPreprocessor', options):
        data = dict(inputs=images([(8, 8)] * 3), data_samples=samples('mmpretrain', [(8, 8)] * 3))
        with pytest.raises(RuntimeError, match=r'out of bounds|smaller than num_classes'):
            each(data, True)


@pytest.mark.parametrize(
    ('scope', 'kind', 'options'), [KINDS[0], KINDS[4], KINDS[6], KINDS[8]], ids=str
)
def test_preparing_a_batch_does_not_wait(scope, kind, options):
    if scope == 'mmpretrain':
        options = dict(options, batch_augments=dict(augments=MIXES), num_classes=9)
    ours, theirs = pair(scope, kind, options)
    sizes = [(32, 32)] * 8

    def prepared(each: torch.nn.Module) -> None:
        np.random.seed(0)
        data = dict(inputs=images(sizes), data_samples=samples(scope, sizes))
        each(data, True)

    assert waits(lambda: prepared(ours)) == 0
    assert waits(lambda: prepared(theirs)) >= (8 if scope != 'mmpretrain' else 2)
