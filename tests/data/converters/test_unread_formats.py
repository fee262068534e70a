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
