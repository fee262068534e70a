"""ONNX files that name other files, and files that are no ONNX."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_onnx import FOUND, NOTES, tiny_detector

from moganet_dense.runtime import load
from moganet_dense.runtime.external_data import has_external_data
from moganet_dense.utils.errors import UserError


def external(name: str = 'stolen', location: str = '/etc/passwd') -> TensorProto:
    """A tensor whose values are the bytes of another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[16])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value=location)
    return tensor


def in_an_initializer(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(external())


def in_a_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node('Constant', [], ['stolen'], value=external()))


def in_a_list(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node('Any', [], ['stolen'], values=[external()]))


def in_a_subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], 'inner', [], [], [external()])
    model.graph.node.append(helper.make_node('If', ['c'], ['x'], then_branch=inner))


def in_a_function(model: onnx.ModelProto) -> None:
    node = helper.make_node('Constant', [], ['y'], value=external())
    model.functions.append(
        helper.make_function('d', 'f', [], ['y'], [node], [helper.make_opsetid('', 17)])
    )


def in_a_sparse_tensor(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(values=external(), dims=[16])


def in_training_info(model: onnx.ModelProto) -> None:
    model.training_info.add().initialization.initializer.append(external())


PLACES = [
    in_an_initializer, in_a_constant, in_a_list, in_a_subgraph, in_a_function,
    in_a_sparse_tensor, in_training_info,
]  # fmt: skip


@pytest.mark.parametrize('place', PLACES, ids=lambda place: place.__name__)
def test_values_from_other_files_are_refused(place, tmp_path):
    file = tiny_detector(tmp_path / 'a.onnx')
    load(file)
    model = onnx.load(file)
    place(model)
    file.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match='is refused: it reads values from any files') as raised:
        load(file)
    assert '\n' not in str(raised.value)


def test_a_number_written_in_more_bytes_than_it_needs_hides_nothing(tmp_path):
    """Protobuf reads 0x81 0x00 as 1: the place of the data, in a form no library writes."""
    plain = external().SerializeToString()
    place = bytes([14 << 3, 1])
    assert plain.count(place) == 1
    hidden = plain.replace(place, bytes([14 << 3, 0x81, 0x00]))
    assert TensorProto.FromString(hidden).data_location == TensorProto.EXTERNAL
    graph = bytes([5 << 3 | 2, 0x80 | len(hidden), 0x00]) + hidden
    model = bytes([7 << 3 | 2, 0x80 | len(graph), 0x00]) + graph
    assert onnx.ModelProto.FromString(model).graph.initializer[0].name == 'stolen'
    assert has_external_data(model)


def test_words_alone_refuse_nothing(tmp_path):
    """A tensor that is called location, and its path as a text, are no external data."""
    model = onnx.load(tiny_detector(tmp_path / 'a.onnx'))
    values = numpy_helper.from_array(np.frombuffer(b'\n\x08location\x12\x0b/etc/passwd', 'u1'))
    model.graph.initializer.append(values)
    model.graph.node.append(
        helper.make_node('Identity', ['location'], ['x'], doc_string='location')
    )
    assert not has_external_data(model.SerializeToString())


def test_spoiled_bytes_are_an_error_and_no_crash(tmp_path):
    whole = tiny_detector(tmp_path / 'a.onnx').read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        content[rng.integers(len(content))] = rng.integers(256)
        try:
            assert has_external_data(bytes(content)) in (True, False)
        except ValueError as error:
            assert 'found a' in str(error)


def test_external_data_beside_the_file_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tiny_detector(tmp_path / 'a.onnx')
    Path('beside.bin').write_bytes(bytes(16))
    model = onnx.load(file)
    model.graph.initializer.append(external(location='beside.bin'))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match='all into one file'):
        load(file)


# --- metadata

METADATA = {
    'a side of 1e9': dict(resize=dict(scale=[10**9, 10**9], keep_ratio=True)),
    'two sides of 30000': dict(resize=dict(scale=[30_000, 30_000], keep_ratio=False)),
    'a negative side': dict(resize=dict(scale=[-5, -5], keep_ratio=False)),
    'a canvas of 1e6': dict(resize=dict(scale=[8, 6], pad_to=[10**6, 10**6], pad_with=[0] * 3)),
    'a multiple of 1e9': dict(resize=dict(scale=[80, 60], keep_ratio=True, multiple=10**9)),
    'a divisor of 1e6': dict(pad=dict(divisor=10**6, value=0)),
    'a divisor of 0': dict(pad=dict(divisor=0, value=0)),
    'a crop of 1e6': dict(crop=dict(size=[10**6, 10**6], padding=1.25, udp=False)),
    'a shape of 1e6': dict(shape=[10**6, 10**6]),
    'a short side that is a text': dict(resize=dict(short='a')),
    'a name of 5 million characters': dict(classes=['x' * 5_000_000, 'b']),
    'names that are lists': dict(classes=[[['a']], {}]),
    'a colour that is none': dict(color_type='x'),
    'an unknown task': dict(task='pizza'),
    'a task that is a list': dict(task=['detection']),
    'two means of three channels': dict(mean=[0, 0]),
    'a mean that is a text': dict(mean=['x', 0, 0]),
    'a mean that is NaN': dict(mean=[float('nan'), 0, 0]),
    'a mean of 400 digits': dict(mean=[10**400, 0, 0]),
    'a standard deviation of 0': dict(std=[0, 1, 1]),
    'an unknown order': dict(order='xyz'),
    'no resizing': dict(resize=None),
    'unknown resizing': dict(resize=dict(foo=3)),
    'padding with a text': dict(pad=dict(divisor=32, value='x')),
    'poses without a crop': dict(task='pose', skeleton=[]),
    'masks without a threshold': dict(task='instance segmentation', mask_threshold=None),
}


@pytest.mark.parametrize('kind', METADATA)
def test_metadata_of_another_size_is_refused(kind, tmp_path):
    path = tiny_detector(tmp_path / 'a.onnx', {**NOTES, **METADATA[kind]})
    with pytest.raises(UserError, match=r'expected the metadata of .*ValueError'):
        load(path)


NETWORKS = {
    'another name': dict(images='x'),
    'no batch': dict(shape=[3, 'H', 'W']),
    'a batch of 4': dict(shape=[4, 3, 'H', 'W']),
    'grey images': dict(shape=['B', 1, 'H', 'W']),
    'bytes': dict(kind=onnx.TensorProto.UINT8),
}


@pytest.mark.parametrize('kind', NETWORKS)
def test_a_network_with_other_inputs_is_refused(kind, tmp_path):
    change = dict(images='images', shape=['B', 3, 'H', 'W'], kind=onnx.TensorProto.FLOAT)
    change.update(NETWORKS[kind])
    model = onnx.load(tiny_detector(tmp_path / 'a.onnx'))
    info = onnx.helper.make_tensor_value_info(change['images'], change['kind'], change['shape'])
    model.graph.input[0].CopyFrom(info)
    onnx.save(model, tmp_path / 'a.onnx')
    with pytest.raises(UserError, match=r'a\.onnx: expected .*, found .*; export it again'):
        load(tmp_path / 'a.onnx')


@pytest.mark.parametrize(
    ('stated', 'size', 'fits'),
    [
        ([64, 96], [64, 96], True),
        ([64, 96], ['H', 'W'], True),
        ([64, 96], [96, 64], False),
        ([64, 96], [64, 'W'], True),
        (None, [64, 96], False),
        (None, ['H', 96], False),
    ],
)
def test_the_size_of_the_network_is_that_of_the_metadata(stated, size, fits, tmp_path):
    path = tiny_detector(tmp_path / 'a.onnx', {**NOTES, 'shape': stated})
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(
        onnx.helper.make_tensor_value_info('images', onnx.TensorProto.FLOAT, ['B', 3, *size])
    )
    onnx.save(model, path)
    if fits:
        assert len(load(path)(np.zeros((60, 80, 3), np.uint8), order='rgb'))
        return
    wanted = (
        r'expected images of (64 x 96|any size) .*, found a network of .* x .*; export it again'
    )
    with pytest.raises(UserError, match=wanted):
        load(path)


def test_the_size_of_crops_is_that_of_the_metadata(tmp_path):
    crop = dict(size=[48, 64], padding=1.25, udp=False)
    notes = {**NOTES, 'task': 'pose', 'crop': crop, 'skeleton': [], 'shape': [48, 64]}
    with pytest.raises(UserError, match='shape: expected the height and width of the crops'):
        load(tiny_detector(tmp_path / 'a.onnx', notes))
    assert load(tiny_detector(tmp_path / 'a.onnx', {**notes, 'shape': [64, 48]}))


def test_masks_that_are_not_finite_are_an_error(tmp_path):
    notes = {**NOTES, 'task': 'instance segmentation', 'mask_threshold': 0.5}
    found = {**FOUND, 'masks': np.full((2, 28, 28), np.nan, np.float32)}
    model = load(tiny_detector(tmp_path / 'a.onnx', notes, found))
    with pytest.raises(UserError, match='not finite'):
        model(np.zeros((60, 80, 3), np.uint8), order='rgb')


@pytest.mark.parametrize(
    'options', [dict(score_thr=float('nan')), dict(score_thr='0.5'), dict(batch_size='2')]
)
def test_numbers_that_are_none_are_one_line(options, tmp_path):
    model = load(tiny_detector(tmp_path / 'a.onnx'))
    with pytest.raises(UserError, match=r'expected .*, found'):
        model(np.zeros((60, 80, 3), np.uint8), order='rgb', **options)


def test_labels_without_a_class_are_an_error(tmp_path):
    model = load(tiny_detector(tmp_path / 'a.onnx', {**NOTES, 'classes': ['person']}))
    with pytest.raises(UserError, match='expected labels of 1 classes'):
        model(np.zeros((60, 80, 3), np.uint8), order='rgb')


@pytest.mark.parametrize('size', [(1, 30_000), (30_000, 1)])
def test_a_thin_image_does_not_take_all_memory(size, tmp_path):
    """Its shorter side is resized to 256 pixels: 2 billion in all."""
    notes = {**NOTES, 'resize': dict(short=256, middle=[224, 224])}
    model = load(tiny_detector(tmp_path / 'a.onnx', notes))
    with pytest.raises(ValueError, match='expected sides of no such ratio, found'):
        model(np.zeros((*size, 3), np.uint8), order='rgb')


def test_a_thin_image_in_the_pipeline_of_a_classifier():
    from moganet_dense.toolboxes.mmpretrain import TRANSFORMS

    resize = TRANSFORMS.build(dict(type='ResizeEdge', scale=256, edge='short'))
    with pytest.raises(ValueError, match='found 30000 x 1, with a shorter side of 256'):
        resize(dict(img=np.zeros((1, 30_000, 3), np.uint8)))
    found = resize(dict(img=np.zeros((100, 20_000, 3), np.uint8)))['img']
    assert found.shape == (256, 51_200, 3)
