"""Video prediction as a file: what it returns, and what it says where images are expected."""

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import ROOT, WITH_TORCH_EXPORT
from mmengine.config import Config

from moganet_dense.engine.job import Job
from moganet_dense.export import export
from moganet_dense.runtime import load
from moganet_dense.utils.errors import UserError
from moganet_dense.video import SimVP

SMALL = dict(in_frames=2, out_frames=3, hid_S=4, hid_T=8, N_S=2, N_T=2)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """A job, its checkpoint, and the network."""
    folder = tmp_path_factory.mktemp('video')
    torch.manual_seed(0)
    network = SimVP(channels=1, **SMALL).eval()
    torch.save(dict(state_dict=network.state_dict()), folder / 'w.pth')
    config = Config.fromfile(ROOT / 'configs/video/simvp_moganet_mmnist.py')
    config.model.update(SMALL)
    config.dump(folder / 'small.py')
    return Job(folder / 'small.py'), str(folder / 'w.pth'), network


def test_a_file_predicts_what_the_model_does(model, tmp_path):
    job, checkpoint, network = model
    file, error = export(job, checkpoint, str(tmp_path / 'video.onnx'))
    assert error < 1e-5
    clip = np.random.default_rng(0).random((3, 2, 1, 32, 48), np.float32)
    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    (found,) = session.run(['next_frames'], dict(frames=clip))
    with torch.no_grad():
        wanted = network.predict(torch.from_numpy(clip)).numpy()
    assert found.shape == (3, 3, 1, 32, 48)  # three frames from two, the last from predictions
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    notes = session.get_modelmeta().custom_metadata_map
    assert (notes['task'], notes['in_frames'], notes['out_frames']) == ('"video"', '2', '3')
    with pytest.raises(UserError, match='found one that predicts frames of videos'):
        load(file)


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        (dict(backbone=True), '--backbone is for models of images'),
        (dict(int8='dynamic'), '--int8 is for models of images'),
        (dict(fp16=True), '--fp16 is for models of images'),
        pytest.param(
            dict(form='torch-export'),
            'needs a fixed size for videos; pass --shape H W',
            marks=WITH_TORCH_EXPORT,
        ),
    ],
)
def test_what_is_of_images_alone_is_refused(model, tmp_path, options, reason):
    job, checkpoint, _ = model
    with pytest.raises(UserError, match=reason):
        ending = 'pt2' if 'form' in options else 'onnx'
        export(job, checkpoint, str(tmp_path / f'video.{ending}'), **options)
    assert not list(tmp_path.iterdir())
