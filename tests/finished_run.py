"""A work dir as training leaves it, with names that would break a page that trusted them."""

import json
from pathlib import Path

import numpy as np

from moganet_dense.evaluation.summary import Curves, Evaluation, Example, Table, confusion
from moganet_dense.visualization.report_drawing import as_url

EVIL = '<script>document.title="taken"</script><img src=http://evil.invalid/x onerror=alert(1)>'


def write_work_dir(path: Path, gain: float = 0.0, config: str = 'lr = 0.1\n') -> Path:
    run = path / '20260101_000000'
    (run / 'vis_data').mkdir(parents=True)
    rows = [
        dict(lr=0.1, loss=2.0 / step, loss_cls=1.0 / step, time=0.5, data_time=0.1, step=10 * step)
        for step in range(1, 31)
    ]
    rows.append({'coco/bbox_mAP': 0.25 + gain, 'coco/bbox_mAP_l': -1.0, 'step': 1})
    (run / 'vis_data/scalars.json').write_text('\n'.join(map(json.dumps, rows)) + '\n{"loss": 0.')
    (run / 'vis_data/config.py').write_text(config)
    facts = dict(
        mode='train', config=f'configs/{EVIL}.py', weights='none: from scratch', batch=4,
        processes=2, command=['train', EVIL], began=1.0, ended=61.0, memory=512.0, parameters=10**6,
        over_base=[['model.head', EVIL, "'x'"]], over_file=[], environment={'torch': '2'},
        commit='abc',
    )  # fmt: skip
    (run / 'run.json').write_text(json.dumps(facts))
    image = as_url(np.full((8, 8, 3), 90, np.uint8))
    names = [EVIL, '日本 $x^2$', '_hidden']
    found = Evaluation(
        'detection',
        tables=[
            Table('AP by class', ['class', 'objects', 'AP'],
                  [[name, 3, 0.125 + gain] for name in names])
        ],
        confusion=confusion('C', np.arange(16).reshape(4, 4), names, ('background', 'missed')),
        curves=[Curves('PR', {name: [(0, 1), (1, 0.5)] for name in names})],
        best=[Example(EVIL, 0.75, image, image)],
        ranking='quality',
    ).content()  # fmt: skip
    found.update(mode='val', iteration=300, ended=60.0, seconds=4.0, images=8,
                 metrics={'coco/bbox_mAP': 0.25 + gain, EVIL: 0.5})  # fmt: skip
    (run / 'evaluation.json').write_text(json.dumps(found))
    return path
