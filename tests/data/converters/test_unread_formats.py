"""Formats that are not read are named, with what to do; advice that is a command is run."""

import json
import re
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from moganet_dense.cli import main
from moganet_dense.data.converters import recognize
from moganet_dense.utils.errors import UserError

BOX = dict(x=5, y=5, width=4, height=4)
VIA = dict(filename='a.jpg', size=9, regions=[dict(
    shape_attributes=dict(BOX, name='rect'), region_attributes=dict(kind='cat'))])  # fmt: skip
FORMATS = {
    'Datumaro': ('annotations/default.json', dict(
        info={}, categories=dict(label=dict(labels=[dict(name='cat')])), items=[])),
    'VGG Image Annotator (VIA)': ('via.json', {'a.jpg9': VIA}),
    'VGG Image Annotator (VIA) ': ('via_project.json', dict(_via_settings={})),
    'VGG Image Annotator (VIA)  ': ('via.csv', '#filename,file_size,file_attributes,'
        'region_count,region_id,region_shape_attributes,region_attributes\n'),
    'SuperAnnotate': ('a.jpg.json', dict(metadata=dict(name='a.jpg', projectId=3), instances=[])),
    'V7 Darwin': ('a.json', dict(version='2.0',
        schema_ref='https://darwin-public.s3.amazonaws.com/darwin_json/2.0/schema.json')),
    'Labelbox': ('export.ndjson', '{"data_row": {"id": "c"}, "projects": {}}\n'),
    'CreateML': ('_annotations.createml.json', [dict(image='a.jpg', annotations=[
        dict(label='cat', coordinates=BOX)])]),
    'Open Images (CSV)': ('train-annotations-bbox.csv',
        'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\na,x,/m/01,1,0,1,0,1\n'),
    'run lengths of Kaggle (CSV)': ('train.csv', 'ImageId,EncodedPixels\na.jpg,1 3\n'),
    'a table of classes of whole images (CSV)': ('train/_classes.csv',
        'filename, cat, dog\na.jpg, 1, 0\n'),
    'a table of boxes (CSV)': ('train/_annotations.csv',
        'filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,cat,1,1,3,3\n'),
    'JSON lines': ('train/_annotations.train.jsonl', '{"image": "a.jpg", "suffix": "cat"}\n'),
    'KITTI': ('label_2/a.txt',
        'Car 0.00 0 -1.58 587.0 173.3 614.1 200.1 1.6 1.6 3.6 -0.6 1.7 46.7 -1.59\n'),
    'TFRecord': ('train.tfrecord', 'x'),
    'the format of Supervisely': ('meta.json', dict(classes=[])),
}  # fmt: skip


def image(path: Path, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (40, 30), (shade, 30, 30)).save(path)


@pytest.mark.parametrize('name', FORMATS)
def test_a_format_is_named_with_a_way(name, tmp_path):
    file, content = FORMATS[name]
    image(tmp_path / 'images/a.jpg')
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if 'Supervisely' in name:
        (tmp_path / 'ds/ann').mkdir(parents=True)
        (tmp_path / 'ds/ann/a.jpg.json').write_text('{}')
    with pytest.raises(UserError) as raised:
        recognize(tmp_path)
    said = str(raised.value)
    assert '\n' not in said and f'; this is {name.strip()}: ' in said
    way = said.partition(f'{name.strip()}: ')[2]
    assert re.search('COCO|YOLO|PNG|docs/task_classification.md', way) and '{' not in way


def kitti(folder: Path) -> None:
    (folder / 'training/label_2').mkdir(parents=True)
    for i in range(4):
        image(folder / f'training/image_2/{i:06}.png', 50 * i)
        (folder / f'training/label_2/{i:06}.txt').write_text(
            'Car 0.00 0 -1.58 8.00 5.00 30.00 25.00 1.6 1.6 3.6 -0.6 1.7 46.7 -1.59\n'
            'DontCare -1 -1 -10 1.00 1.00 6.00 9.00 -1 -1 -1 -1000 -1000 -1000 -10\n'
        )


def datumaro(folder: Path) -> None:
    box = dict(
        id=0, type='bbox', attributes={}, group=0, label_id=0, z_order=0, bbox=[8, 5, 22, 20]
    )
    items = []
    for i in range(4):
        image(folder / f'images/default/{i}.png', 50 * i)
        items.append(dict(id=str(i), annotations=[box], image=dict(path=f'{i}.png', size=[30, 40])))
    names = dict(labels=[dict(name='Car', parent='', attributes=[])], attributes=[])
    content = dict(dm_format_version='1.0', media_type=2, infos={}, items=items,
                   categories=dict(label=names))  # fmt: skip
    (folder / 'annotations').mkdir()
    (folder / 'annotations/default.json').write_text(json.dumps(content))


def open_images(folder: Path) -> None:
    (folder / 'annotations').mkdir(parents=True)
    rows = []
    for i in range(4):
        image(folder / f'images/train/{i:016x}.png', 50 * i)
        rows.append(f'{i:016x},xclick,Car,1,{8 / 40},{30 / 40},{5 / 30},{25 / 30},0,0,0,0,0\n')
    (folder / 'annotations/class-descriptions.csv').write_text('Car,car\n')
    (folder / 'annotations/train-annotations-bbox.csv').write_text(
        'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,'
        'IsDepiction,IsInside\n' + ''.join(rows)
    )


@pytest.fixture(scope='module')
def converting(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('converting')


@pytest.mark.long
@pytest.mark.parametrize('write', [kitti, datumaro, open_images])
def test_the_commands_of_a_way_lead_to_a_config(write, converting, monkeypatch, capsys):
    """The environment is installed by the first of them."""
    monkeypatch.chdir(converting)
    source = converting / f'my {write.__name__}'
    source.mkdir()
    write(source)
    assert main(['init', str(source)]) == 1
    *commands, again = re.findall(
        '`((?:python |datumaro_env/|moganet-dense ).*?)`', capsys.readouterr().err
    )
    assert len(commands) == 3
    for command in commands:
        program, *words = shlex.split(command)
        program = sys.executable if program == 'python' else program
        subprocess.run([program, *words], check=True)
    assert main(shlex.split(again)[1:]) == 0
    written = [*converting.glob(f'my_{write.__name__}_coco/*.json')]
    boxes = [a['bbox'] for file in written for a in json.loads(file.read_text())['annotations']]
    found = [box for box in boxes if box[0] > 2]
    assert len(found) == 4
    for box in found:
        assert box == pytest.approx([8, 5, 22, 20], abs=0.01)


def test_docs_that_are_named_exist():
    root = Path(__file__).resolve().parents[3]
    assert (root / 'docs/task_classification.md').is_file()


VOC = """<annotation><filename>{0}.png</filename><object><name>cat</name><bndbox><xmin>9</xmin>
<ymin>9</ymin><xmax>30</xmax><ymax>25</ymax></bndbox></object></annotation>"""


def pack(path: Path, folder: Path) -> None:
    for i in range(4):
        image(folder / f'{i}.png', 50 * i)
        (folder / f'{i}.xml').write_text(VOC.format(i))
    if path.suffix == '.zip':
        with zipfile.ZipFile(path, 'w') as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
    else:
        with tarfile.open(path, 'w:gz') as archive:
            archive.add(folder, '.')


@pytest.mark.parametrize('inside', [False, True])
@pytest.mark.parametrize('ending', ['.zip', '.tar.gz'])
def test_the_way_of_an_archive_leads_to_a_config(ending, inside, tmp_path, monkeypatch, capsys):
    """Both commands of the message, as a shell reads them; the archive is named, or its folder."""
    monkeypatch.chdir(tmp_path)
    Path('got it').mkdir()
    archive = Path('got it', f'my export{ending}')
    pack(archive, tmp_path / 'source')
    assert main(['init', 'got it' if inside else str(archive)]) == 1
    unpack, again = re.findall('`(.*?)`', capsys.readouterr().err)
    python, *words = shlex.split(unpack)
    assert python == 'python'
    subprocess.run([sys.executable, *words], check=True)
    program, *words = shlex.split(again)
    assert program == 'moganet-dense' and main(words) == 0
    assert Path('my_export.py').is_file() and 'found: Pascal VOC' in capsys.readouterr().out


def test_a_file_in_the_place_of_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pack(tmp_path / 'unused.zip', tmp_path / 'my data')
    assert main(['init', 'my data/0.xml']) == 1
    (again,) = re.findall('`(.*?)`', capsys.readouterr().err)
    assert main(shlex.split(again)[1:]) == 0
