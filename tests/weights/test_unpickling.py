"""The allow-list and safetensors: what is read is right, and nothing runs."""

import json
import struct
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import load_file

from moganet_dense.weights import safetensors_file
from moganet_dense.weights.conversion import WeightsError
from moganet_dense.weights.loading import read_checkpoint, trusting


def resume_file() -> dict:
    """What mmengine's own CheckpointHook writes, and a random state."""
    state = OrderedDict(a=torch.arange(4.0), h=torch.ones(2, dtype=torch.bfloat16))
    state._metadata = OrderedDict(backbone=dict(gate='single'))
    return dict(
        state_dict=state,
        message_hub=dict(
            log_scalars={'train/loss': HistoryBuffer([3.0, 1.0], [1, 2], max_length=7)},
            runtime_info=dict(epoch=3, best=np.float32(0.5), flag=np.bool_(True)),
            resumed_keys=dict(epoch=True),
        ),
        meta=dict(dataset_meta=dict(classes=('a', 'b'), sigmas=np.arange(6.0).reshape(2, 3).T)),
        optimizer=dict(state={0: dict(step=torch.tensor(2.0))}, param_groups=[dict(lr=0.1)]),
        param_schedulers=[dict(milestones=Counter([3, 3, 8]))],
        random=np.random.RandomState(5).get_state(),
    )


@pytest.mark.parametrize('zipped', [True, False])
def test_files_of_mmengine_itself_are_read(zipped, tmp_path):
    file = tmp_path / 'epoch_1.pth'
    torch.save(resume_file(), file, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint(file)
    history = found['message_hub']['log_scalars']['train/loss']
    assert type(history) is HistoryBuffer and history.max_length == 7
    assert [part.tolist() for part in history.data] == [[3.0, 1.0], [1, 2]]
    assert found['message_hub']['runtime_info'] == dict(epoch=3, best=0.5, flag=True)
    assert found['meta']['dataset_meta']['sigmas'].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found['param_schedulers'][0]['milestones'] == Counter({3: 2, 8: 1})
    assert (found['random'][1] == np.random.RandomState(5).get_state()[1]).all()
    assert torch.equal(found['state_dict']['h'], torch.ones(2, dtype=torch.bfloat16))
    assert found['state_dict']._metadata['backbone'] == dict(gate='single')


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function, *args) -> None:
        self.call = function, args

    def __reduce__(self):
        return self.call


MARKER = 'code-has-run'
HOSTILE = {
    'open': lambda: Calls(open, MARKER, 'w'),
    'eval': lambda: Calls(eval, f"open('{MARKER}', 'w')"),
    'getattr of a module': lambda: Calls(getattr, Path, 'touch'),
    'getattr of a history': lambda: Calls(getattr, HistoryBuffer, '__init__'),
    'numpy runstring': lambda: Calls(np.load, MARKER),
    'torch.load': lambda: Calls(torch.load, MARKER),
    'torch.hub': lambda: Calls(torch.hub.load, MARKER),
    'object array': lambda: np.array([Calls(open, MARKER, 'w')], dtype=object),
    'plain objects in an array': lambda: np.array([{}], dtype=object),
}


@pytest.mark.parametrize('kind', HOSTILE)
@pytest.mark.parametrize('zipped', [True, False])
def test_what_is_not_on_the_list_is_refused_and_not_run(kind, zipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = dict(first=HistoryBuffer([1.0], [1]), state_dict={}, x=HOSTILE[kind]())
    torch.save(content, 'bad.pth', _use_new_zipfile_serialization=zipped)
    if kind == 'getattr of a history':  # becomes a text, as no method is taken from the file
        assert read_checkpoint('bad.pth')['x'] == '__init__'
        return
    with pytest.raises(WeightsError, match='is refused') as raised:
        read_checkpoint('bad.pth')
    assert '\n' not in str(raised.value) and not Path(MARKER).exists()


def test_trust_lets_code_run_for_this_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Calls(Path.touch, Path(MARKER)), 'c.pth')
    with trusting():
        read_checkpoint('c.pth')
    assert Path(MARKER).exists()
    with pytest.raises(WeightsError, match='--trust-checkpoint'):
        read_checkpoint('c.pth')


def test_safetensors_by_hand(tmp_path):
    """The format's own example: written out byte by byte."""
    header = json.dumps({
        '__metadata__': {'gate': 'double'},
        'a': {'dtype': 'F32', 'shape': [1, 2], 'data_offsets': [0, 8]},
        'b': {'dtype': 'I64', 'shape': [], 'data_offsets': [8, 16]},
    }).encode()  # fmt: skip
    body = struct.pack('<ffq', 1.5, -2.0, 7)
    file = tmp_path / 'w.safetensors'
    file.write_bytes(struct.pack('<Q', len(header)) + header + body)
    found = read_checkpoint(file)
    assert found['state_dict']['a'].tolist() == [[1.5, -2.0]]
    assert found['state_dict']['b'].item() == 7 and found['meta'] == {'gate': 'double'}
    assert found['state_dict']._metadata['backbone'] == {'gate': 'double'}
    file.write_bytes(safetensors_file.packed(found['state_dict'], {'gate': 'double'}))
    again = read_checkpoint(file)['state_dict']
    assert all(torch.equal(again[k], found['state_dict'][k]) for k in 'ab')
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match='truncated or not a safetensors file'):
        read_checkpoint(file)


def test_written_safetensors_are_what_others_read(tmp_path):
    state = dict(a=torch.randn(2, 3), b=torch.ones(2, dtype=torch.bfloat16), n=torch.tensor(3))
    (tmp_path / 'w').write_bytes(safetensors_file.packed(state, {'deployed': 'true'}))
    found = load_file(tmp_path / 'w')
    assert all(torch.equal(found[k], state[k]) for k in state)


def metainfos() -> dict[str, dict]:
    """What the data sets of the four toolboxes put into a checkpoint's meta, by class name."""
    import mmdet.datasets
    import mmpose.datasets
    import mmpretrain.datasets
    import mmseg.datasets
    from mmengine.dataset import BaseDataset
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    found = {}
    for package in (mmdet.datasets, mmseg.datasets, mmpretrain.datasets):
        for name, kind in vars(package).items():
            if isinstance(kind, type) and issubclass(kind, BaseDataset):
                found[f'{package.__name__}.{name}'] = kind._load_metainfo(kind.METAINFO)
    folder = Path(mmpose.datasets.__file__).parents[1] / '.mim/configs/_base_/datasets'
    for file in sorted(folder.glob('*.py')):
        found[f'mmpose.{file.stem}'] = parse_pose_metainfo(dict(from_file=str(file)))
    return found


def equal(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.slow
def test_the_metainfo_of_every_data_set_is_read(tmp_path):
    """Some hold empty arrays, of which pickle says ``bytes()``."""
    all_of_them = metainfos()
    assert len(all_of_them) > 120 and 'mmpose.animalpose' in all_of_them
    for zipped in (True, False):
        content = dict(meta=all_of_them, empty=b'', arrays=[np.zeros((0, 2), 'f4'), np.float32(1)])
        torch.save(content, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
        found = read_checkpoint(tmp_path / 'a.pth')
        assert [key for key in all_of_them if not equal(all_of_them[key], found['meta'][key])] == []
        assert found['empty'] == b'' and equal(found['arrays'], content['arrays'])
