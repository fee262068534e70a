"""Draws an annotation file of COCO's size, and times the check of it.

    python tests/data/validation/big_coco.py FOLDER [IMAGES OBJECTS]

120 000 images, 860 000 objects with polygons of COCO's mean length; prints seconds and the
peak of memory.
"""

import json
import random
import resource
import sys
import time
from pathlib import Path


def write_big(file: Path, images: int, objects: int) -> None:
    """Writes objects with boxes, areas and polygons of 21 corners, none of them faulty."""
    rng = random.Random(0)
    categories = [dict(id=i, name=f'c{i}') for i in range(80)]
    rows = [dict(id=i, file_name=f'{i:012}.jpg', width=640, height=480) for i in range(images)]
    with open(file, 'w') as stream:
        stream.write('{"images": %s, "categories": %s, "annotations": [' % (  # noqa: UP031
            json.dumps(rows), json.dumps(categories)))  # fmt: skip
        for i in range(objects):
            polygon = [round(rng.uniform(0, 480), 2) for _ in range(42)]
            row = dict(id=i, image_id=i % images, category_id=i % 80, iscrowd=0, area=100.5,
                       bbox=[10.5, 20.25, 100.5, 200.75], segmentation=[polygon])  # fmt: skip
            stream.write((',' if i else '') + json.dumps(row))
        stream.write(']}')


def main(folder: str, images: str = '120000', objects: str = '860000') -> None:
    from moganet_dense.data.validation.coco_annotations import read_coco
    from moganet_dense.data.validation.objects import Kind, of_file

    file = Path(folder) / 'big.json'
    if not file.exists():
        write_big(file, int(images), int(objects))
    start = time.perf_counter()
    found = sum(1 for _ in of_file(read_coco(str(file)), str(file), Kind(masks=True)))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'{file.stat().st_size / 1e6:.0f} MB, {found} findings, {seconds:.1f} s, {peak:.2f} GiB')


if __name__ == '__main__':
    main(*sys.argv[1:])
