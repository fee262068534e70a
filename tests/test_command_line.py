"""The command line: what it imports, completes, and prints as data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from moganet_dense.cli import COMMANDS, main
from moganet_dense.commands.options import spread
from moganet_dense.config import metafiles
from moganet_dense.config.model_files import find_config

HEAVY = ('torch', 'mmengine', 'mmcv', 'cv2', 'numpy')
LIGHT = [
    ['--help'],
    ['zoo'],
    ['zoo', 'list', '--json'],
    ['zoo', 'show', 'upernet_moganet_t'],
    *([name, '--help'] for name in COMMANDS),
]


def python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, **options
    )


def test_help_and_zoo_import_nothing_heavy():
    """Torch takes seconds to import: without it they start at once."""
    code = (
        'import sys; from moganet_dense.cli import main\n'
        f'for args in {LIGHT!r}:\n'
        '    assert main(args) == 0, args\n'
        f'    heavy = [m for m in {HEAVY!r} if m in sys.modules]\n'
        '    assert not heavy, (args, heavy)\n'
    )
    python(code, cwd=ROOT)


@pytest.mark.parametrize('name', COMMANDS)
def test_every_help_has_an_example(name, capsys):
    assert main([name, '--help']) == 0
    assert f'moganet-dense {name}' in capsys.readouterr().out.split('Usage:')[1].split('\n', 1)[1]


def entries() -> list[dict]:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    return [
        model
        for file in index['Import']
        for model in yaml.safe_load((ROOT / file).read_text())['Models']
    ]


def test_zoo_tells_what_the_index_says(capsys):
    wanted = {entry['Name']: entry for entry in entries()}
    assert main(['zoo', 'list', '--json']) == 0
    listed = {model['name']: model for model in json.loads(capsys.readouterr().out)}
    assert listed.keys() == wanted.keys() == set(metafiles.names())
    for name, model in listed.items():
        assert model['weights'] == wanted[name]['Weights'] and Path(model['config']).is_file()
        assert model['parameters'] == wanted[name]['Metadata']['Parameters']
    assert main(['zoo']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(wanted)
    assert main(['zoo', 'show', 'retinanet_moganet_s', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['results'][0]['value'] == 45.8
    assert main(['zoo', 'show', 'retinanet_moganet_z']) == 1
    assert 'did you mean retinanet_moganet' in capsys.readouterr().err


def test_zoo_download_finds_what_was_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    folder = tmp_path / 'hub/checkpoints'
    folder.mkdir(parents=True)
    file = folder / 'moganet_xtiny_sz224_8xbs128_ep300.pth.tar'
    file.write_bytes(b'weights')
    assert main(['zoo', 'download', 'moganet://xt_in1k_224']) == 0
    assert capsys.readouterr().out.strip() == str(file)
    assert main(['zoo', 'download', 'faster_rcnn_moganet_s']) == 1
    assert 'no weights are published' in capsys.readouterr().err


def test_options_of_several_values_end_where_others_begin():
    said = ['--shape', '96', '128', 'a.py', '--cfg-options', 'a=1', 'b=2', 'c.pth', '--mini', 'x']
    said += ['--', '--shape', '1', '2']
    assert spread(said) == [
        '--shape', '96', '--shape', '128', 'a.py', '--cfg-options', 'a=1', '--cfg-options', 'b=2',
        'c.pth', '--mini', 'x', '--', '--shape', '1', '2',
    ]  # fmt: skip


def test_configs_and_weights_may_be_named(capsys):
    for name in metafiles.names():
        assert find_config(name) == Path(metafiles.find(name)['Config'])
    assert metafiles.published('retinanet_moganet_s').startswith('https://')
    assert metafiles.published('work/epoch_1.pth') == 'work/epoch_1.pth'
    assert main(['deploy', 'faster_rcnn_moganet_s', 'faster_rcnn_moganet_s', 'out.pth']) == 1
    assert 'no weights are published for faster_rcnn_moganet_s' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, wanted',
    [
        (['pre'], {'predict'}),
        (['zoo', 'd'], {'download'}),
        (['predict', 'sem_fpn_moganet_x'], {'sem_fpn_moganet_xt'}),
        (['zoo', 'show', 'upernet_moganet_xl'], {'upernet_moganet_xl'}),
        (['predict', '--dep'], {'--deploy'}),
    ],
)
def test_shells_complete(words, wanted):
    environment = dict(
        os.environ,
        _MOGANET_DENSE_COMPLETE='bash_complete',
        COMP_WORDS=' '.join(['moganet-dense', *words]),
        COMP_CWORD=str(len(words)),
    )
    code = 'from moganet_dense.cli import main; main()'
    out = python(code, cwd=ROOT, env=environment).stdout
    assert {line.split(',')[1] for line in out.splitlines()} == wanted


def test_there_is_a_script_for_each_shell():
    for shell in ('bash', 'zsh', 'fish'):
        environment = dict(os.environ, _MOGANET_DENSE_COMPLETE=f'{shell}_source')
        out = python('from moganet_dense.cli import main; main()', cwd=ROOT, env=environment).stdout
        assert 'moganet-dense' in out and 'COMPLETE' in out


def test_flops_as_json(capsys):
    assert main(['flops', str(ROOT / 'configs/pose/topdown_moganet_xt_256x192.py'), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    entry = metafiles.find('topdown_moganet_xt_256x192')['Metadata']
    assert found['parameters'] == entry['Parameters']
    assert found['flops'] == pytest.approx(entry['FLOPs'], rel=1e-3)
    assert found['shape'] == [256, 192]


def test_flops_of_a_video_are_those_of_one_clip(capsys):
    """2.61 G and 9.96 M, as published by OpenSTL."""
    assert main(['flops', str(ROOT / 'configs/video/simvp_moganet_taxibj.py')]) == 0
    said = capsys.readouterr().out
    assert 'one clip of 4 frames of 32 x 32' in said
    assert '9.96 M' in said and 'FLOPs       2.61 G' in said and '  translator ' in said


def test_flops_of_images_with_other_channels(tmp_path, capsys):
    """The first convolution, 3 x 3 of stride 2 to 16 channels, has a fourth input."""
    config = tmp_path / 'four.py'
    found = []
    for count in (3, 4):
        config.write_text(
            f"_base_ = '{ROOT}/configs/seg/sem_fpn_moganet_xt.py'\n"
            f'model = dict(backbone=dict(in_channels={count}), data_preprocessor=dict('
            f'mean=[0] * {count}, std=[1] * {count}, bgr_to_rgb=False))\n'
        )
        assert main(['flops', str(config), '--shape', '64', '--json']) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[1]['parameters'] - found[0]['parameters'] == 16 * 9
    assert found[1]['flops'] - found[0]['flops'] == 16 * 9 * 32 * 32


def test_doctor_and_check_as_json(capsys, monkeypatch):
    from moganet_dense import doctor
    from moganet_dense.data import validation
    from moganet_dense.data.validation.findings import Report

    monkeypatch.setattr(doctor, 'findings', lambda: [doctor.Finding('x', 'y', 'z', fatal=True)])
    assert main(['doctor', '--json']) == 1
    assert json.loads(capsys.readouterr().out) == [
        dict(what='x', seen='y', fix='z', fatal=True, commands=[])
    ]
    monkeypatch.setattr(validation, 'check_all', lambda cfg: print('talk') or Report())
    config = str(ROOT / 'configs/seg/upernet_moganet_xt.py')
    assert main(['check', config, '--json', '-']) == 0
    assert json.loads(capsys.readouterr().out)['errors'] == 0


def test_a_package_that_is_missing_is_one_line(tmp_path):
    (tmp_path / 'torch.py').write_text("raise ModuleNotFoundError('gone', name='torch')")
    done = subprocess.run(
        [sys.executable, '-m', 'moganet_dense', 'zoo', 'download', 'retinanet_moganet_s'],
        env={'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('error: this needs torch, which is not')


def test_a_reader_that_leaves_is_no_traceback():
    code = 'import sys; from moganet_dense.cli import main; sys.exit(main([], lambda _: print(1)))'
    code = code.replace('print(1)', '[print(k, flush=True) for k in range(10**6)]')
    process = subprocess.Popen(
        [sys.executable, '-c', code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b'' and process.wait() == 141
