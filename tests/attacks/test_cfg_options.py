"""--cfg-options names nothing that is not registered."""

import pytest
from mmengine.config import Config
from toy import write_config

from moganet_dense.cli import main
from moganet_dense.config.reading import parse_options
from moganet_dense.config.registered_types import require_registered
from moganet_dense.engine.job import Job
from moganet_dense.utils.errors import UserError


@pytest.mark.parametrize(
    'text',
    [
        'model.type=os.system',
        'model.backbone.type=subprocess.run',
        'train_dataloader.collate_fn.type=os.system',
        'train_dataloader.worker_init_fn.type=builtins.exec',
        'optim_wrapper.constructor=os.system',
        'custom_hooks.0.ema_type=os.system',
        'runner_type=os.system',
        'model.type=mmengine.mkdir_or_exist',  # a function of the package, not registered
        'model.type=mmdet.apis.inference_detector',
        'custom_imports.imports=[antigravity]',
        'model._scope_=os',
        'default_scope=os',
        # what a toolbox evaluates as Python
        "model.test_cfg.nms.type=exec(str(bytes([49]),'ascii'))",  # mmengine reads it for ever
        'model.test_cfg.nms.type=exec(input)',
        'model.backbone.arch=[(1, 2]',
        'train_pipeline.0.dtype=float32 if print(1) else 0',
        'model.motion.warp_mode=print(1)',
        'custom_hooks.0.config.search_op=print(1)',
        'model.trust_remote_code=True',  # of transformers' models, which mmpretrain registers
        'train_dataloader.dataset.metainfo.from_file=mine.py',  # mmpose runs it
        'test_pipeline.0.decode_backend=pickle',  # mmseg's images of other kinds
    ],
)
def test_what_is_not_registered_is_refused(text, tmp_path, capsys):
    config = str(write_config(tmp_path))
    options = ['--work-dir', str(tmp_path / 'work'), '--cfg-options', text]
    assert main(['train', config, *options]) == 1
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith('error')]
    assert line.startswith('error: --cfg-options: ')
    assert not (tmp_path / 'work').exists()


def test_a_type_inside_of_a_value_is_seen_too():
    with pytest.raises(UserError, match='os.system'):
        require_registered({'model': [{'neck': {'type': 'os.system'}}]})


def test_a_value_that_mmcv_evaluates_runs_without_the_check(tmp_path, monkeypatch):
    """Why a type has to be a name: there is no dot in this one, and no registry to find it in."""
    import torch
    from mmcv.ops import batched_nms

    monkeypatch.chdir(tmp_path)
    text = "open('code-has-run',str(bytes([119]),'ascii'))"
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0]])
    with pytest.raises(Exception, match='not callable'):
        batched_nms(boxes, torch.ones(1), torch.zeros(1), dict(type=text))
    assert (tmp_path / 'code-has-run').exists()
    with pytest.raises(UserError, match='expected a name'):
        require_registered({'model.test_cfg.nms.type': text})


@pytest.mark.parametrize(
    'text',
    [
        'model.type=RetinaNet',
        'model.backbone.type=mmdet.ResNet',
        'val_evaluator.type=mmdet.CocoMetric',
        'train_cfg.type=mmengine.EpochBasedTrainLoop',
        'data_root=data/a.b/',
        'model.test_cfg.nms.type=soft_nms',
        'model.motion.warp_mode=cv2.MOTION_EUCLIDEAN',
        'model.dtype=float32',
        'train_dataloader.dataset.ann_file=a.json',
    ],
)
def test_registered_types_and_paths_pass(text):
    require_registered(parse_options([text]))


@pytest.mark.parametrize(
    ('text', 'options'),
    [
        ('model.backbone.arch={"depths": (1, 2), "dims": [8]}',
         {'model.backbone.arch': {'depths': (1, 2), 'dims': [8]}}),
        ('a={}', {'a': {}}),
        ('a=[1,2]', {'a': [1, 2]}),
        ('a=x=y', {'a': 'x=y'}),
        ('--a=1', {'--a': 1}),
    ],
)  # fmt: skip
def test_values_are_parsed(text, options):
    assert parse_options([text]) == options


PATHS = Config(dict(root='data', files=['x.txt'], steps=[dict(file='x')], classes=('a', 'b')))


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('new="my, data/a.json"', 'my, data/a.json'),  # in quotes
        ("new='a,b'", 'a,b'),
        ("new='1'", '1'),
        ("new='a','b'", ['a', 'b']),
        ('new="[1,2]"', [1, 2]),
        ('new=a,b', ['a', 'b']),
        ('new=', ''),
        ('root=my,data/a', 'my,data/a'),  # replaces a string
        ('root=my, data/a', 'my, data/a'),
        ('root=[a,b]', ['a', 'b']),
        ('root=None', None),
        ('steps.0.file=a,b', 'a,b'),
        ('files.0=a,b', 'a,b'),
        ('classes=cat,dog', ['cat', 'dog']),
        ('steps.9.file=a,b', ['a', 'b']),
    ],
)
def test_a_path_with_a_comma_stays_one_string(text, value):
    assert parse_options([text], PATHS) == {text.partition('=')[0]: value}


def test_training_reads_a_folder_with_a_comma(tmp_path):
    config = write_config(tmp_path)
    job = Job(config, cfg_options=['work_dir=runs, mine/a,b', 'train_cfg.type="A,B"'])
    with pytest.raises(UserError, match='A,B'):
        job.read()
    cfg = Job(config, cfg_options=["load_from='a,b.pth'"]).read()
    assert cfg.load_from == 'a,b.pth'


@pytest.mark.parametrize('text', ['a={"b"', 'a={b: os}', 'a=[1,2', 'a=(1,', 'a={__import__("os")}'])
def test_a_value_that_cannot_be_parsed_is_one_line(text):
    with pytest.raises(UserError, match='the value of a is no number, text, list or dictionary'):
        parse_options([text])


def test_a_type_in_a_dictionary_is_refused():
    with pytest.raises(UserError, match='os.system'):
        require_registered(parse_options(['model.neck={"type": "os.system"}']))
