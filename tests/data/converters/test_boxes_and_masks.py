"""Each format of annotation tools, written by hand as the tool writes it, and what it has to
become, in numbers worked out by hand. Images are 100 wide and 50 high."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moganet_dense.data.converters import recognize
from moganet_dense.data.converters.dataset import DataSet
from moganet_dense.data.converters.writing import coco
from moganet_dense.utils.errors import UserError


def image(path: Path, size=(100, 50), value=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, (value, 0, 0)).save(path)


def read(folder: Path, name: str) -> DataSet:
    found = recognize(folder)
    assert found[0].name == name
    return found[0].read()


def boxes(data: DataSet) -> dict[str, list]:
    """By image: label and box of each instance."""
    return {
        sample.file.name: [(one.label, *map(float, one.box)) for one in sample.instances]
        for sample in data.samples
    }


def write(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# COCO ------------------------------------------------------------------------------------------


def coco_file(**changes) -> dict:
    content = dict(
        images=[dict(id=0, file_name='a.jpg', width=100, height=50)],
        annotations=[dict(id=0, image_id=0, category_id=1, bbox=[10, 5, 20, 30], area=600,
                          segmentation=[], iscrowd=0)],
        categories=[dict(id=0, name='ball', supercategory='none'),
                    dict(id=1, name='ball', supercategory='ball')],
    )  # fmt: skip
    return dict(content, **changes)


def test_coco_of_roboflow(tmp_path):
    """A folder per split, ids from 0, and a root category named as the class."""
    for split in ('train', 'valid', 'test'):
        image(tmp_path / split / 'a.jpg')
        write(tmp_path / split / '_annotations.coco.json', coco_file())
    data = read(tmp_path, 'COCO')
    assert [s.split for s in data.samples] == ['test', 'train', 'val']
    assert data.classes == ['ball']
    assert boxes(data) == {'a.jpg': [('ball', 10, 5, 20, 30)]}
    content = coco(data, data.samples[:1], 'boxes', tmp_path)
    assert content == dict(
        images=[dict(id=1, file_name='test/a.jpg', width=100, height=50)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[10, 5, 20, 30], iscrowd=0,
                          area=600)],
        categories=[dict(id=1, name='ball')],
    )  # fmt: skip


def test_coco_of_cvat(tmp_path):
    """``instances_default.json``; a box turned by 90 degrees about its middle (20, 20): 30 high
    and 20 wide becomes 30 wide; run lengths of a brush with iscrowd=1."""
    image(tmp_path / 'images' / 'default' / 'a.jpg')
    rows = [
        dict(id=1, image_id=1, category_id=2, bbox=[10, 5, 20, 30], area=600, segmentation=[],
             iscrowd=0, attributes=dict(occluded=False, rotation=90.0)),
        dict(id=2, image_id=1, category_id=1, bbox=[0, 0, 2, 50], area=100, iscrowd=1,
             segmentation=dict(size=[50, 100], counts=[0, 100, 4900]),
             attributes=dict(occluded=False)),
    ]  # fmt: skip
    write(tmp_path / 'annotations' / 'instances_default.json', coco_file(
        images=[dict(id=1, file_name='a.jpg', width=100, height=50)], annotations=rows,
        categories=[dict(id=1, name='tree', supercategory=''),
                    dict(id=2, name='ball', supercategory='')]))  # fmt: skip
    data = read(tmp_path, 'COCO')
    turned, crowd = data.samples[0].instances
    assert turned.box == pytest.approx((5, 10, 30, 20))
    assert crowd.crowd and crowd.runs['counts'] == [0, 100, 4900]
    assert data.classes == ['tree', 'ball']
    assert any('rotated' in line for line in data.changed.lines())
    assert any('iscrowd=1' in line for line in data.changed.lines())


def test_coco_of_label_studio(tmp_path):
    """Backslashes, the upload's folder, category ids from 0, text ids, BOM, sizes turned."""
    image(tmp_path / 'images' / 'f3a1b2c4-a.jpg')
    content = coco_file(
        images=[dict(id='img-1', file_name='images\\f3a1b2c4-a.jpg', width=50, height=100)],
        annotations=[dict(id='x', image_id='img-1', category_id='0', bbox=[1, 2, 3, 4], ignore=0)],
        categories=[dict(id=0, name='cat'), dict(id=1, name='dog')])  # fmt: skip
    (tmp_path / 'result.json').write_bytes(b'\xef\xbb\xbf' + json.dumps(content).encode())
    data = read(tmp_path, 'COCO')
    assert boxes(data) == {'f3a1b2c4-a.jpg': [('cat', 1, 2, 3, 4)]}
    assert data.samples[0].size == (100, 50)
    assert any('swapped' in line for line in data.changed.lines())


def test_what_coco_cannot_carry_is_counted(tmp_path):
    image(tmp_path / 'a.jpg')
    box = dict(image_id=0, category_id=1)
    rows = [
        dict(id=1, **box, bbox=[10, 5, 0.5, 30]),
        dict(id=2, **box, bbox=[200, 5, 5, 30]),
        dict(id=3, **box, bbox=[10, 5, float('nan'), 30]),
        dict(id=4, image_id=0, category_id=9, bbox=[1, 1, 5, 5]),
        dict(id=5, image_id=7, category_id=1, bbox=[1, 1, 5, 5]),
        dict(id=6, **box, bbox=[90, 5, 20, 30]),
        dict(id=7, **box, bbox=[1, 1, 5, 5], ignore=1),
        dict(id=8, **box),
    ]
    images = [*coco_file()['images'], dict(id=3, file_name='b.jpg', width=9, height=9)]
    write(tmp_path / 'x.json', coco_file(annotations=rows, images=images))
    data = read(tmp_path, 'COCO')
    assert boxes(data) == {'a.jpg': [('ball', 90, 5, 10, 30)]}
    assert dict(data.left_out.counts) == {
        'annotations of less than a pixel': 1,
        'annotations outside their image': 1,
        'annotations with numbers that are not finite': 1,
        'annotations whose category_id is not in the file': 1,
        'annotations whose image_id is not in the file': 1,
        'annotations marked ignore': 1,
        'annotations without a shape': 1,
        'images that are listed but missing': 1,
    }
    assert data.changed.counts['annotations that exceed their image, clipped to it'] == 1


# YOLO ------------------------------------------------------------------------------------------


def test_yolo_with_description(tmp_path):
    """Roboflow's ``../train/images``; 0.5 of 100 is 50; a background image; segments."""
    for split in ('train', 'valid'):
        image(tmp_path / split / 'images' / 'a.jpg')
        image(tmp_path / split / 'images' / 'b.jpg')
        write(tmp_path / split / 'labels' / 'a.txt',
              '1 0.5 0.5 0.2 0.4\n0 0.1 0.2 0.3 0.2 0.3 0.6\n')  # fmt: skip
    write(tmp_path / 'data.yaml',
          'train: ../train/images\nval: ../valid/images\nnc: 2\nnames: [ball, tree]\n')  # fmt: skip
    data = read(tmp_path, 'YOLO')
    assert [s.split for s in data.samples] == ['train', 'train', 'val', 'val']
    box, outline = data.samples[0].instances
    assert (box.label, *box.box) == pytest.approx(('tree', 40, 15, 20, 20))
    assert outline.polygons == [pytest.approx([10, 10, 30, 10, 30, 30])]
    assert outline.box == pytest.approx((10, 10, 20, 20))
    assert data.samples[1].instances == []
    assert data.tasks() == ['masks', 'labels', 'boxes']


def test_yolo_of_bare_folders(tmp_path):
    image(tmp_path / 'images' / 'a.png')
    write(tmp_path / 'labels' / 'a.txt', '2 0.5 0.5 1 1\n')
    write(tmp_path / 'classes.txt', 'x\ny\nz\n')
    data = read(tmp_path, 'YOLO')
    assert data.classes == ['x', 'y', 'z'] and boxes(data) == {'a.png': [('z', 0, 0, 100, 50)]}


def test_yolo_beside_its_images_without_names(tmp_path):
    image(tmp_path / 'a.png')
    write(tmp_path / 'a.txt', '1 0.5 0.5 1 1\n')
    assert read(tmp_path, 'YOLO').classes == ['class_0', 'class_1']


def test_yolo_pose(tmp_path):
    image(tmp_path / 'images' / 'train' / 'a.jpg')
    line = '0 0.5 0.5 0.2 0.4 0.4 0.4 2 0 0 0 0.6 0.5 1\n'
    write(tmp_path / 'labels' / 'train' / 'a.txt', line)
    write(
        tmp_path / 'd.yaml',
        'path: .\ntrain: images/train\nval: images/train\nkpt_shape: [3, 3]\n'
        'flip_idx: [0, 2, 1]\nnames:\n  0: tube\n',
    )
    data = read(tmp_path, 'YOLO')
    (one,) = data.samples[0].instances
    assert one.keypoints == pytest.approx([40, 20, 2, 0, 0, 0, 60, 25, 1])
    assert data.swaps == [0, 2, 1] and data.tasks()[0] == 'keypoints' and data.classes == ['tube']


def test_what_yolo_cannot_carry_is_counted(tmp_path):
    image(tmp_path / 'images' / 'a.jpg')
    lines = ['0 0.5 0.5 0.2 0.4', '0 0.5 0.5 0.2 0.4', '7 0.5 0.5 0.2 0.4', '0 50 25 20 20',
             '0 0.1', 'cat 0.5 0.5 0.2 0.4', '0 0.5 0.5 0.1 0.1 0.93']  # fmt: skip
    write(tmp_path / 'labels' / 'a.txt', '\n'.join(lines))
    write(tmp_path / 'data.yaml', 'names: [ball]\ntrain: images\n')
    data = read(tmp_path, 'YOLO')
    assert len(data.samples[0].instances) == 2
    assert sorted(data.left_out.counts.values()) == [1, 1, 1, 1, 1]
    assert data.changed.counts['lines with a score at the end, which is ignored'] == 1


# Pascal VOC ------------------------------------------------------------------------------------

VOC = """<annotation><folder>x</folder><filename>a.jpg</filename>
<size><width>100</width><height>50</height><depth>3</depth></size>
<object><name>dog</name><difficult>{difficult}</difficult>
<bndbox><xmin>{xmin}</xmin><ymin>6</ymin><xmax>20</xmax><ymax>25</ymax></bndbox>
<part><name>head</name><bndbox><xmin>12</xmin><ymin>7</ymin><xmax>14</xmax><ymax>9</ymax></bndbox>
</part></object></annotation>"""


def test_voc_counts_pixels_from_1(tmp_path):
    """11 to 20 are ten pixels, which begin at 10."""
    image(tmp_path / 'JPEGImages' / 'a.jpg')
    write(tmp_path / 'Annotations' / 'a.xml', VOC.format(xmin=11, difficult=0))
    write(tmp_path / 'ImageSets' / 'Main' / 'val.txt', 'a\n')
    data = read(tmp_path, 'Pascal VOC')
    assert boxes(data) == {'a.jpg': [('dog', 10, 5, 10, 20)]}
    assert data.samples[0].split == 'val'


def test_voc_with_a_zero_counts_from_0(tmp_path):
    image(tmp_path / 'a.jpg')
    write(tmp_path / 'a.xml', VOC.format(xmin=0, difficult=1))
    data = read(tmp_path, 'Pascal VOC')
    assert boxes(data) == {'a.jpg': [('dog', 0, 6, 20, 19)]}
    assert data.samples[0].instances[0].crowd


def test_xml_entities_are_refused(tmp_path):
    image(tmp_path / 'a.jpg')
    write(tmp_path / 'a.xml', '<!DOCTYPE a [<!ENTITY b "x">]>' + VOC.format(xmin=1, difficult=0))
    line, rest = read(tmp_path, 'Pascal VOC').left_out.lines()
    assert rest.startswith('1 images without annotations')
    assert 'EntitiesForbidden' in line and 'a.xml' in line


# LabelMe ---------------------------------------------------------------------------------------


def shape(kind, points, label='cat', **more) -> dict:
    return dict(label=label, points=points, shape_type=kind, flags={}, **more)


def labelme(folder: Path, shapes: list, **more) -> None:
    image(folder / 'a.jpg')
    content = dict(version='5.2.1', flags={}, shapes=shapes, imagePath='..\\x\\a.jpg')
    content.update(imageData=None, imageHeight=50, imageWidth=100, **more)
    write(folder / 'a.json', content)


def test_labelme(tmp_path):
    patch = io.BytesIO()
    Image.fromarray(np.array([[1, 0], [1, 1]], bool)).save(patch, 'PNG')
    labelme(tmp_path, [
        shape('rectangle', [[30, 20], [10, 5]]),
        shape('polygon', [[0, 0], [10, 0], [10, 10]], 'dog', group_id=1),
        shape('polygon', [[20, 20], [30, 20], [30, 30]], 'dog', group_id=1),
        shape('circle', [[50, 25], [53, 29]]),
        shape('mask', [[60, 10], [61, 11]], mask=base64.b64encode(patch.getvalue()).decode()),
        shape('line', [[1, 1], [5, 5]]),
    ])  # fmt: skip
    data = read(tmp_path, 'LabelMe')
    found = data.samples[0].instances
    assert [one.label for one in found] == ['cat', 'dog', 'cat', 'cat']
    assert found[0].box == (10, 5, 20, 15)
    assert found[1].box == (0, 0, 30, 30) and len(found[1].polygons) == 2
    assert found[2].box == pytest.approx((45, 20, 10, 10), abs=0.02)  # a radius of 5
    assert found[3].box == (60, 10, 2, 2) and sum(found[3].runs['counts'][1::2]) == 3
    assert data.left_out.counts == {'shapes of type line with 2 points': 1}


def test_labelme_keypoints_by_group(tmp_path):
    labelme(tmp_path, [
        shape('rectangle', [[10, 5], [30, 25]], 'tube', group_id=7),
        shape('point', [[12, 6]], 'top', group_id=7),
        shape('point', [[28, 20]], 'end', group_id=7),
        shape('rectangle', [[50, 5], [60, 25]], 'tube', group_id=8),
        shape('point', [[52, 6]], 'top', group_id=8),
    ])  # fmt: skip
    data = read(tmp_path, 'LabelMe')
    assert data.keypoints == ['end', 'top']
    one, two = data.samples[0].instances
    assert one.keypoints == [28, 20, 2, 12, 6, 2] and one.box == (10, 5, 20, 20)
    assert two.keypoints == [0, 0, 0, 52, 6, 2] and data.classes == ['tube']


# CVAT ------------------------------------------------------------------------------------------


def test_cvat_xml(tmp_path):
    image(tmp_path / 'images' / 'a.jpg')
    write(
        tmp_path / 'annotations.xml',
        """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><labels>
<label><name>ball</name><color>#fa3253</color><type>any</type></label>
<label><name>tree</name><type>any</type></label></labels></task></meta>
<image id="0" name="a.jpg" subset="Validation" width="100" height="50">
<box label="tree" source="manual" occluded="0" xtl="10.0" ytl="5.5" xbr="30.0" ybr="25.5"
 z_order="0"></box>
<box label="ball" xtl="10" ytl="5" xbr="30" ybr="35" rotation="90.0"></box>
<polygon label="ball" points="0.0,0.0;10.0,0.0;10.0,10.0" z_order="0"></polygon>
<ellipse label="ball" cx="50" cy="25" rx="10" ry="5" z_order="0"></ellipse>
<mask label="ball" rle="1, 3" left="60" top="10" width="2" height="2"></mask>
<polyline label="ball" points="1,1;2,2"></polyline>
<tag label="ball"></tag>
</image></annotations>""",
    )
    data = read(tmp_path, 'CVAT XML')
    found = [tuple(map(float, one.box)) for one in data.samples[0].instances]
    assert found[0] == (10, 5.5, 20, 20)
    assert found[1] == pytest.approx((5, 10, 30, 20))
    assert found[2] == (0, 0, 10, 10)
    assert found[3] == pytest.approx((40, 20, 20, 10))
    assert found[4] == (60, 10, 2, 2)
    assert sum(data.samples[0].instances[4].runs['counts'][1::2]) == 3
    assert data.classes == ['ball', 'tree'] and data.samples[0].split == 'val'
    assert data.left_out.counts == {'shapes of type polyline': 1, 'tags of whole images': 1}


def test_cvat_skeletons(tmp_path):
    image(tmp_path / 'a.jpg')
    write(
        tmp_path / 'annotations.xml',
        """<annotations><meta><job><labels>
<label><name>tube</name><type>skeleton</type></label>
<label><name>1</name><type>points</type><parent>tube</parent></label>
<label><name>2</name><type>points</type><parent>tube</parent></label></labels></job></meta>
<image id="0" name="a.jpg" width="100" height="50"><skeleton label="tube" occluded="0">
<points label="2" outside="0" occluded="1" points="40.00,20.00"></points>
<points label="1" outside="0" occluded="0" points="10.00,20.00"></points></skeleton></image>
</annotations>""",
    )
    data = read(tmp_path, 'CVAT XML')
    (one,) = data.samples[0].instances
    assert data.keypoints == ['1', '2'] and data.classes == ['tube']
    assert one.keypoints == [10, 20, 2, 40, 20, 1]
    assert one.box == (7, 17, 36, 6)  # a tenth of 30 wider on each side


def test_cvat_video(tmp_path):
    image(tmp_path / 'images' / 'frame_000000.PNG')
    image(tmp_path / 'images' / 'frame_000001.PNG')
    write(
        tmp_path / 'annotations.xml',
        """<annotations><meta><job><labels><label><name>car</name>
</label></labels></job></meta><track id="0" label="car" source="manual">
<box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="11" ybr="12"></box>
<box frame="1" outside="1" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="11" ybr="12"></box>
<box frame="5" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="11" ybr="12"></box>
</track></annotations>""",
    )
    data = read(tmp_path, 'CVAT XML')
    assert boxes(data) == {'frame_000000.PNG': [('car', 1, 2, 10, 10)]}
    assert data.left_out.counts['images that are listed but missing'] == 1


# Label Studio ----------------------------------------------------------------------------------


def region(kind: str, label: str, **value) -> dict:
    return dict(id=value.pop('id', label), type=kind, from_name='label', to_name='image',
                original_width=100, original_height=50, image_rotation=0,
                value={kind: [label], **value}, **({'parentID': value.pop('parent')}
                if 'parent' in value else {}))  # fmt: skip


def test_label_studio(tmp_path):
    image(tmp_path / 'images' / 'a.jpg')
    regions = [
        region('rectanglelabels', 'ball', x=10, y=10, width=20, height=40, rotation=0),
        region('polygonlabels', 'tree', points=[[0, 0], [10, 0], [10, 20]]),
        region('ellipselabels', 'ball', x=50, y=50, radiusX=10, radiusY=10, rotation=0, id='e'),
        region('rectanglelabels', 'ball', x=50, y=0, width=20, height=20, rotation=90, id='r'),
    ]
    task = dict(id=1, data=dict(image='/data/upload/3/0f1e2d3c-a.jpg'), annotations=[
        dict(id=1, was_cancelled=True, result=[]), dict(id=2, was_cancelled=False, result=regions),
        dict(id=3, was_cancelled=False, result=regions)])  # fmt: skip
    write(tmp_path / 'project-1-at-2024-01-01.json', [task])
    data = read(tmp_path, 'Label Studio JSON')
    found = [tuple(map(float, one.box)) for one in data.samples[0].instances]
    assert found[0] == pytest.approx((10, 5, 20, 20))  # percent of 100 x 50
    assert found[1] == pytest.approx((0, 0, 10, 10))
    assert found[2] == pytest.approx((40, 20, 20, 10))
    assert found[3] == pytest.approx((40, 0, 10, 20))  # turned about its top left corner, (50, 0)
    assert data.left_out.counts == {'annotations of another annotator of the same image': 1}


def test_label_studio_min(tmp_path):
    image(tmp_path / 'a.jpg')
    row = dict(x=10, y=10, width=20, height=40, rotation=0, rectanglelabels=['ball'],
               original_width=100, original_height=50)  # fmt: skip
    write(tmp_path / 'min.json', [dict(image='/data/upload/0f1e2d3c-a.jpg', id=1, label=[row],
                                       annotator=1, annotation_id=1, lead_time=1.5)])  # fmt: skip
    found = boxes(read(tmp_path, 'Label Studio JSON'))
    assert found == {'a.jpg': [('ball', *map(pytest.approx, (10, 5, 20, 20)))]}


def test_label_studio_brush(tmp_path):
    """Bits by hand: 8 values (2 x 1 pixels), 8 wide, all run lengths 3 wide: four of 255, then
    four of 0. So the first pixel is marked."""
    from moganet_dense.data.converters.read_label_studio import decode_brush

    bits = f'{8:032b}' + f'{7:05b}' + f'{2:04b}' * 4
    bits += '1' + '00' + f'{3:03b}' + f'{255:08b}' + '1' + '00' + f'{3:03b}' + f'{0:08b}'
    bits += '0' * (-len(bits) % 8)
    values = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert decode_brush(values, (2, 1)).tolist() == [[True, False]]
    with pytest.raises(ValueError, match='2 pixels for 3 x 1'):
        decode_brush(values, (3, 1))


def test_nothing_known_names_what_is(tmp_path):
    write(tmp_path / 'notes.md', 'x')
    with pytest.raises(UserError, match='YOLO.*found 1 files ending in .md'):
        recognize(tmp_path)
