"""Files of every published family, and every kind of broken file."""

import argparse
import pickle
import tarfile
from pathlib import Path

import golden
import pytest
import torch
from mmengine.runner import load_checkpoint

from moganet_dense import MogaNet
from moganet_dense.models.blocks import MultiOrderGatedAggregation
from moganet_dense.utils.errors import UserError
from moganet_dense.weights import loading, releases
from moganet_dense.weights.conversion import WeightsError, model_state

TINY = dict(embed_dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), ffn_ratios=(2, 2, 2, 2))
HEAD = torch.ones(10, 32), torch.ones(10)
MARKER = 'code-has-run'


def backbone_tensors() -> dict:
    """What a published file holds of the backbone, under its published names."""
    return golden.fill(MogaNet(TINY)).state_dict()


def with_prefix(prefix: str, tensors: dict) -> dict:
    return {prefix + key: value for key, value in tensors.items()}


def head(prefix: str) -> dict:
    return {f'{prefix}weight': HEAD[0], f'{prefix}bias': HEAD[1]}


def other(tensors: dict) -> dict:
    """Other values of the same shapes, to tell raw weights from their average."""
    return {k: v * 3 + 1 if v.is_floating_point() else v for k, v in tensors.items()}


def official(tensors):
    return {'state_dict': {**tensors, **head('head.')}, 'arch': 'moganet_small', 'metric': 83.4}


def openmixup(tensors):
    state = {**with_prefix('backbone.', tensors), **head('head.fc.')}
    return {'meta': {'epoch': 300, 'CLASSES': ('tench',)}, 'state_dict': state}


def openmixup_stripped(tensors):
    return {'state_dict': {**tensors, **head('head.fc.')}, 'author': 'someone'}


def detector(tensors):
    rest = ['neck.lateral_convs.0.conv.weight', 'bbox_head.retina_cls.bias']
    state = with_prefix('backbone.', tensors) | {key: torch.zeros(2) for key in rest}
    return {'meta': {'CLASSES': ('person',)}, 'state_dict': state}


def segmentor(tensors):
    rest = ['decode_head.conv_seg.weight', 'auxiliary_head.conv_seg.weight']
    return {'state_dict': with_prefix('backbone.', tensors) | {key: torch.zeros(2) for key in rest}}


def pose(tensors):
    rest = ['keypoint_head.deconv_layers.0.weight', 'keypoint_head.final_layer.bias']
    return {'state_dict': with_prefix('backbone.', tensors) | {key: torch.zeros(2) for key in rest}}


def wrapped(tensors):
    return {'state_dict': with_prefix('module.', official(tensors)['state_dict'])}


def wrapped_with_backbone(tensors):
    return {'state_dict': with_prefix('module.', openmixup(tensors)['state_dict'])}


def bare(tensors):
    return dict(tensors)


FAMILIES = [
    official, openmixup, openmixup_stripped, detector, segmentor, pose, wrapped,
    wrapped_with_backbone, bare,
]  # fmt: skip


def pretrained(path, **options) -> dict:
    return dict(type='Pretrained', checkpoint=str(path), **options)


def load(path, **options) -> MogaNet:
    model = MogaNet(TINY, init_cfg=pretrained(path, **options))
    model.init_weights()
    return model


def save(content, path):
    torch.save(content, path)
    return path


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    """What loading says."""
    lines = []
    monkeypatch.setattr(loading, 'print_log', lambda line, logger: lines.append(line))
    return lines


def assert_holds(model: MogaNet, tensors: dict) -> None:
    state = model.state_dict()
    assert state.keys() == tensors.keys()
    for key, value in tensors.items():
        assert torch.equal(state[key], value), key


@pytest.mark.parametrize('family', FAMILIES, ids=lambda f: f.__name__)
def test_every_family_lands_whole(family, tmp_path):
    tensors = backbone_tensors()
    assert_holds(load(save(family(tensors), tmp_path / 'weights.pth')), tensors)


def test_a_detector_starts_its_backbone_from_the_file(tmp_path):
    registry = pytest.importorskip('mmdet.registry').MODELS
    tensors = backbone_tensors()
    path = save(openmixup(tensors), tmp_path / 'weights.pth')
    model = registry.build(
        dict(
            type='RetinaNet',
            backbone=dict(type='MogaNet', arch=TINY, init_cfg=pretrained(path)),
            neck=dict(type='FPN', in_channels=[8, 16, 24, 32], out_channels=8, num_outs=5),
            bbox_head=dict(
                type='RetinaHead', num_classes=2, in_channels=8, feat_channels=8,
                anchor_generator=dict(type='AnchorGenerator', ratios=[1.0], scales=[4],
                                      strides=[4, 8, 16, 32, 64]),
            ),
        )
    )  # fmt: skip
    model.init_weights()
    assert_holds(model.backbone, tensors)


def test_raw_weights_by_default_and_the_average_by_choice(tmp_path):
    raw = backbone_tensors()
    average = other(raw)
    content = official(raw) | {'state_dict_ema': {**average, **head('head.')}}
    path = save(content, tmp_path / 'weights.pth.tar')
    assert_holds(load(path), raw)
    assert_holds(load(path, ema=True), average)


@pytest.mark.parametrize('family, infix', [(openmixup, 'backbone_'), (openmixup_stripped, '')])
def test_flat_average_of_openmixup(family, infix, tmp_path):
    raw = backbone_tensors()
    parameters = [key for key, _ in MogaNet(TINY).named_parameters()]
    average = {key: other(raw)[key] for key in parameters}
    content = family(raw)
    for key, value in average.items():
        content['state_dict']['ema_' + infix + key.replace('.', '_')] = value
    path = save(content, tmp_path / 'weights.pth')
    assert_holds(load(path), raw)
    assert_holds(load(path, ema=True), raw | average)  # it averages no buffers


def test_half_an_average_is_an_error_and_not_filled_up_with_raw_weights(tmp_path):
    content = openmixup(backbone_tensors())
    first = 'ema_backbone_norm4_weight'
    content['state_dict'][first] = content['state_dict']['backbone.norm4.weight'] + 1
    path = save(content, tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match='no EMA weights of .* parameters, first backbone.patch'):
        load(path, ema=True)


def test_only_an_average_is_loaded_and_said(tmp_path, logged):
    path = save({'state_dict_ema': official(backbone_tensors())['state_dict']}, tmp_path / 'w.pth')
    assert_holds(load(path), backbone_tensors())
    assert_holds(load(path, ema=True), backbone_tensors())
    assert 'top-level names of state_dict_ema' in logged[0]


def test_a_missing_average_is_an_error(tmp_path):
    path = save(official(backbone_tensors()), tmp_path / 'weights.pth.tar')
    with pytest.raises(WeightsError, match='no EMA weights.*remove ema=True'):
        load(path, ema=True)


def test_the_log_says_what_was_loaded_from_where(tmp_path, logged):
    path = save(openmixup(backbone_tensors()), tmp_path / 'weights.pth')
    load(path)
    (text,) = logged
    assert f'loaded all {len(backbone_tensors())} tensors from {path}' in text
    assert 'backbone.* of state_dict; skipped head.fc.weight, head.fc.bias' in text


def inside(prefix: str, **around: int) -> dict:
    """A model's state dict: the backbone under a prefix, and parts with so many tensors."""
    tensors = with_prefix(prefix, backbone_tensors())
    for part, count in around.items():
        tensors |= {f'{part}.{i}': torch.zeros(2) for i in range(count)}
    return tensors


OTHER_MODELS = {
    'DINO': dict(state_dict=inside('backbone.', encoder=3, decoder=2, bbox_head=2)),
    'Mask2Former': dict(state_dict=inside('backbone.', panoptic_head=9)),
    'RTMPose': dict(state_dict=inside('backbone.', head=4)),
    'tracker': dict(state_dict=inside('detector.backbone.', reid=3)),
    'Lightning': {'state_dict': inside('model.backbone.', criterion=1), 'hyper_parameters': {}},
    'compiled': dict(model=inside('_orig_mod.backbone.', head=1)),
    'compiled inside': dict(model=inside('backbone._orig_mod.', head=1)),
    'DataParallel': dict(model_state_dict=inside('module.encoder.', head=1), epoch=3),
    'both': dict(model=inside('module._orig_mod.net.', head=1)),
    'create_backbone': inside('net.'),
    'teacher alone': dict(state_dict=inside('teacher.backbone.', queue=1)),
    'DINO of FAIR': dict(student=inside('module.backbone.'), optimizer=dict(state={})),
    'key of its own': dict(detector=inside('', neck=5), epoch=1),
    'average alone': dict(model_ema=inside('module.')),
    'mmengine with EMA': dict(
        state_dict=inside('backbone.'),
        ema_state_dict=other(inside('module.backbone.')) | dict(steps=torch.tensor(3)),
    ),
    'bare beside an epoch': inside('', decoder=4) | dict(epoch=3),
}


@pytest.mark.parametrize('name', OTHER_MODELS)
def test_the_backbone_inside_of_any_model_is_found(name, tmp_path):
    path = save(OTHER_MODELS[name], tmp_path / 'w.pth')
    assert_holds(load(path), backbone_tensors())


def test_what_was_left_out_is_named_by_part(tmp_path, logged):
    load(save(OTHER_MODELS['DINO'], tmp_path / 'w.pth'))
    assert 'skipped 7 tensors: encoder (3), decoder (2), bbox_head (2)' in logged[0]


def test_a_prefix_as_mmengine_has_it(tmp_path):
    both = inside('student.backbone.') | other(inside('teacher.backbone.'))
    path = save(dict(state_dict=both | other(inside('net.'))), tmp_path / 'w.pth')
    assert_holds(load(path, prefix='student.backbone.'), backbone_tensors())
    assert_holds(load(path, prefix='student.backbone'), backbone_tensors())
    assert_holds(load(path, ema=True), other(backbone_tensors()))  # the teacher
    with pytest.raises(WeightsError, match=r"2 backbones.*prefix=.*'net.', 'student.backbone.'"):
        load(path)
    with pytest.raises(WeightsError, match="prefix='x': .*begin with net, student, teacher|x"):
        load(path, prefix='x')
    with pytest.raises(ValueError, match='prefix is a string'):
        load(path, prefix=3)


def test_within_a_backbone_nothing_is_left_out(tmp_path):
    state = inside('model.backbone.') | {'model.backbone.adapter.weight': torch.ones(1)}
    with pytest.raises(WeightsError, match='1 unexpected: adapter.weight'):
        load(save(dict(state_dict=state), tmp_path / 'w.pth'))


def test_a_raw_checkpoint_of_timm_with_its_settings(tmp_path):
    settings = argparse.Namespace(lr=1e-3, output=Path('out/x'), aug=dict(m=9, std=0.5))
    content = official(backbone_tensors())
    content |= dict(args=settings, epoch=3, optimizer=dict(state={}, param_groups=[dict(lr=1.0)]))
    path = save(content, tmp_path / 'w.pth.tar')
    assert_holds(load(path), backbone_tensors())
    read = loading.read_checkpoint(path)['args']
    assert vars(read) == dict(lr=1e-3, output='out/x', aug=dict(m=9, std=0.5))


def drop(key):
    return lambda state: state.pop(key)


def put(key, value):
    return lambda state: state.update({key: value})


@pytest.mark.parametrize(
    'change, said',
    [
        (drop('norm4.weight'), '1 missing: norm4.weight'),
        (drop('blocks1.0.norm1.running_var'), '1 missing: blocks1.0.norm1.running_var'),
        (put('blocks9.0.gate', torch.ones(1)), '1 unexpected: blocks9.0.gate'),
        (
            put('norm4.bias', torch.ones(32, dtype=torch.int64)),
            '1 of wrong kind: norm4.bias torch.i',
        ),
        (put('norm4.bias', torch.ones(32).to_sparse()), '1 of wrong kind: norm4.bias'),
        (put('module.norm4.bias', torch.ones(32)), 'two values of one tensor: norm4.bias'),
        (put('norm4.bias', torch.ones(7)), r'1 of wrong shape: norm4.bias \(7,\) for \(32,\)'),
    ],
)
def test_keys_that_do_not_fit_are_named_and_nothing_is_loaded(change, said, tmp_path):
    content = official(backbone_tensors())
    change(content['state_dict'])
    model = MogaNet(TINY, init_cfg=pretrained(save(content, tmp_path / 'w.pth')))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=said):
        model.init_weights()
    assert_holds(model, before)


def test_another_size_is_an_error_with_the_first_keys_and_counts(tmp_path):
    path = save(official(backbone_tensors()), tmp_path / 'w.pth')
    model = MogaNet('xt', init_cfg=pretrained(path))
    with pytest.raises(WeightsError, match=r'\d+ missing: blocks1.1.*\.\.\..*of wrong shape'):
        model.init_weights()


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path):
    path.write_bytes(b'')


def page(path):
    path.write_text('<html><title>404</title></html>')


def folder(path):
    path.unlink()
    path.mkdir()


def absent(path):
    path.unlink()


@pytest.mark.parametrize('damage', [cut, empty, page, folder, absent], ids=lambda f: f.__name__)
def test_a_broken_file_is_one_line(damage, tmp_path):
    path = save(official(backbone_tensors()), tmp_path / 'w.pth')
    damage(path)
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert '\n' not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    'content',
    [{'state_dict': {}}, {'state_dict': 'text'}, {'epoch': 3}, {}, [1, 2], torch.ones(3), None],
    ids=str,
)
def test_a_file_without_a_state_dict_is_one_line(content, tmp_path):
    with pytest.raises(WeightsError, match='expected') as caught:
        load(save(content, tmp_path / 'w.pth'))
    assert '\n' not in str(caught.value)


class Hostile:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, 'w')


@pytest.mark.parametrize('legacy', [False, True])
def test_code_in_a_checkpoint_does_not_run(legacy, tmp_path):
    marker = tmp_path / MARKER
    content = official(backbone_tensors()) | {'metric': Hostile(marker)}
    path = tmp_path / 'w.pth'
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match='refused: it contains .*open.*would run code'):
        load(path)
    assert not marker.exists()


def test_code_in_a_plain_pickle_does_not_run(tmp_path):
    marker, path = tmp_path / MARKER, tmp_path / 'w.pth'
    path.write_bytes(pickle.dumps(Hostile(marker)))
    with pytest.raises(WeightsError):
        load(path)
    assert not marker.exists()


class Program(torch.nn.Module):
    def forward(self, x):
        return x + 1


def test_a_torchscript_program_is_refused(tmp_path):
    """Older versions of torch.load run it, also with weights_only=True."""
    torch.jit.script(Program()).save(str(tmp_path / 'w.pth'))
    with pytest.raises(WeightsError, match='TorchScript program'):
        load(tmp_path / 'w.pth')


def test_a_tar_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / 'w.pth.tar', 'w') as archive:
        archive.add(__file__)
    with pytest.raises(WeightsError, match='tar archive'):
        load(tmp_path / 'w.pth.tar')


class Settings:
    """An object of no known type, as a careless training script saves."""


def test_an_object_in_a_checkpoint_is_refused_with_the_reason(tmp_path):
    path = save(official(backbone_tensors()) | {'args': Settings()}, tmp_path / 'w.pth')
    with pytest.raises(WeightsError, match='refused.*Settings'):
        load(path)


def test_known_weights_bring_their_gate():
    double, single = pretrained('moganet://t_in1k_256_deit3'), pretrained('moganet://s_in1k_224')
    model = MogaNet('t', init_cfg=double)
    assert model.gate == 'double'
    assert all(m.double for m in model.modules() if isinstance(m, MultiOrderGatedAggregation))
    assert MogaNet('s', init_cfg=single).gate == 'single'
    url = releases.WEIGHTS['s_in1k_224'].url
    with pytest.raises(ValueError, match="trained with gate='single'.*remove the option gate"):
        MogaNet('s', gate='double', init_cfg=pretrained(url))


def test_a_checkpoint_of_ours_notes_the_gate_and_does_not_load_into_the_other(tmp_path):
    class Detector(torch.nn.Module):
        def __init__(self, gate):
            super().__init__()
            self.backbone = MogaNet(TINY, gate=gate)

    path = save({'state_dict': Detector('double').state_dict()}, tmp_path / 'd.pth')
    content = loading.read_checkpoint(path)
    assert content['state_dict'].keys() == Detector('single').state_dict().keys()
    Detector('double').load_state_dict(content['state_dict'])
    for refused in (
        lambda: Detector('single').load_state_dict(content['state_dict']),
        lambda: load_checkpoint(Detector('single'), str(path), 'cpu'),  # mmengine, not strict
        lambda: load(path),
    ):
        with pytest.raises(WeightsError, match="gate='double'.*set gate='double'"):
            refused()


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UserError, match='s_in1k_225.*valid: xt_in1k_224'):
        MogaNet('s', init_cfg=pretrained('moganet://s_in1k_225'))


def test_pretrained_does_not_mix_with_other_initialisers():
    with pytest.raises(ValueError, match='use it alone'):
        MogaNet(TINY, init_cfg=[dict(type='Kaiming', layer='Conv2d'), pretrained('x')])


def test_other_initialisers_act():
    model = MogaNet(TINY, init_cfg=dict(type='Constant', layer='Conv2d', val=0.25))
    model.init_weights()
    assert torch.all(model.blocks1[0].attn.gate.weight == 0.25)


def test_the_table_of_weights():
    assert len(releases.WEIGHTS) == 30
    assert len({w.url for w in releases.WEIGHTS.values()}) == 30
    double = [w for w in releases.WEIGHTS.values() if w.gate == 'double']
    assert not [w for w in double if w.family == 'official']
    # the exceptions among the double-gate families (single-gate training, by their configs)
    single = {w.name for w in releases.WEIGHTS.values() if w.gate == 'single'}
    assert {n for n in single if not n.endswith(('224', '256'))} == {
        's_in1k_224_openmixup_single', 'l_in1k_224_mmpretrain',
    }  # fmt: skip
    assert releases.find('moganet://s_in1k_224').url == (
        'https://github.com/Westlake-AI/MogaNet/releases/download/moganet-in1k-weights/'
        'moganet_small_sz224_8xbs128_ep300.pth.tar'
    )
    assert releases.find('/mine/moganet_small_sz224_8xbs128_ep300.pth.tar').name == 's_in1k_224'
    assert releases.find('/mine/other.pth') is None


def test_names_of_mmpose_0_become_those_of_1():
    old = {'backbone.x': torch.ones(1), 'keypoint_head.final_layer.bias': torch.ones(2)}
    assert list(model_state({'state_dict': old})) == ['backbone.x', 'head.final_layer.bias']
