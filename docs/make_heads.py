"""Writes docs/heads.md from configs/heads and what is noted in docs/heads.json.

python docs/make_heads.py                   the page
python docs/make_heads.py count NAME ...    counts parameters and multiply-adds, and notes them
python docs/make_heads.py refused NAME ...  notes why a model has no export, if it has none
python docs/make_heads.py run NAME ...      trains, tests and exports with --mini, and notes it
python docs/make_heads.py run 4 NAME ...    the same, with a quarter of the training
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
RUNS = DOCS / 'heads.json'
METRICS = ('coco_panoptic/PQ', 'coco/segm_mAP', 'coco/bbox_mAP', 'mIoU', 'coco/AP')

HEAD = """\
# Current heads

Written by `python docs/make_heads.py`; do not edit.

Configs in `configs/heads` combine MogaNet-T and -S with current heads. Each is a
config of a toolbox and what changes in it, as [`moganet-dense adopt`](adopt.md) writes it: learning
rate, schedule and augmentation are the head's own published recipe, without weight decay for the
backbone's norms, layer scales and sigmas. **None was trained at scale**: there is no published
result to compare with, and no weights.

```bash
moganet-dense train configs/heads/dino_moganet_s.py
moganet-dense train configs/heads/atss_moganet_t.py --mini
```

GFLOPs are multiply-adds of one image of 800 x 1280 (detection), 512 x 2048 (segmentation) or the
config's input (pose). The mini metric is that of `--mini`: some minutes on drawn images, which
shows that a config trains and evaluates, and nothing about its accuracy. 1/4: after that part of
the training; a dash: not run.

"""


def rows() -> list[list[str]]:
    """A row for each config, of what is noted."""
    found, notes = [], noted()
    for path in sorted((ROOT / 'configs/heads').glob('*.py')):
        note = notes.get(path.stem, {})
        title = path.read_text().partition('\n')[0].strip('"').rstrip('.')
        link = f'[{path.stem}](../{path.relative_to(ROOT).as_posix()})'
        figures = [note.get(name, '-') for name in ('parameters', 'flops', 'metric', 'export')]
        found.append([link, title, *figures])
    return found


def noted() -> dict[str, dict[str, str]]:
    """What is noted of each config, by its name."""
    return json.loads(RUNS.read_text()) if RUNS.exists() else {}


def note(name: str, **found: str) -> None:
    """Notes figures of a config."""
    notes = noted()
    notes[name] = {**notes.get(name, {}), **found}
    RUNS.write_text(json.dumps(notes, indent=1, sort_keys=True) + '\n')
    print(name, found, flush=True)


def count(names: list[str]) -> None:
    """Counts parameters and multiply-adds."""
    sys.path.insert(0, str(ROOT))
    from moganet_dense.config.reading import read_config
    from moganet_dense.toolboxes.build import build
    from moganet_dense.toolboxes.flops import complexity, usual_shape

    for name in names:
        cfg = read_config(ROOT / f'configs/heads/{name}.py')
        size = complexity(build(cfg), usual_shape(cfg))
        note(name, parameters=f'{size.parameters / 1e6:.1f}', flops=f'{size.flops / 1e9:.1f}')


def refused(names: list[str]) -> None:
    """Notes why export refuses a model, whatever its weights."""
    sys.path.insert(0, str(ROOT))
    from moganet_dense.config.reading import read_config
    from moganet_dense.export.graphs import GRAPHS
    from moganet_dense.toolboxes.build import build
    from moganet_dense.utils.errors import UserError

    for name in names:
        model = build(read_config(ROOT / f'configs/heads/{name}.py')).eval()
        kind = type(model).__name__
        if kind not in GRAPHS:
            note(name, export=f'no: {kind} has no graph; only `--backbone`')
            continue
        try:
            GRAPHS[kind](model)
        except UserError:
            head = type(model.bbox_head).__name__
            note(name, export=f'no: {head} has no graph; only `--backbone`')


def page() -> str:
    """The text of docs/heads.md."""
    titles = ['config', 'what', 'params M', 'GFLOPs', 'mini metric', 'export']
    lines = [titles, ['---'] * len(titles), *rows()]
    return HEAD + ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines) + TAIL


TAIL = """
- Mask2Former panoptic needs no panopticapi: maps and panoptic quality are read and measured here.
- RTMPose is SimCC: two classifications, of columns and of rows. RTMO and DEKR are bottom-up.
- The maps of DEKR are those of all four stages, resized to stride 4 and concatenated, in place of
  HRNet's.
"""


def run(names: list[str]) -> None:
    """Trains by ``--mini``, tests and exports; notes what was found. A number before the names
    divides the length of the training."""
    share = int(names.pop(0)) if names[0].isdecimal() else 1
    sys.path.insert(0, str(ROOT))
    from moganet_dense.engine.job import Job
    from moganet_dense.engine.train import test, train

    for name in names:
        config = str(ROOT / f'configs/heads/{name}.py')
        mini = Job(config, mini=True)
        options, part = _shortened(mini.read(), share)
        with tempfile.TemporaryDirectory() as folder:
            job = Job(config, mini=True, work_dir=folder, cfg_options=options)
            last = (train(job) / 'last_checkpoint').read_text().strip()
            metric = _metric(test(Job(config, mini=True, work_dir=folder), last))
            note(
                name,
                metric=metric + part,
                export=_export(mini, last, folder),
            )


def _shortened(cfg: Any, share: int) -> tuple[list[str], str]:
    """Options that shorten a training, and leave the evaluation to the test; and the part that
    is trained, for the table: an epoch at least."""
    train_cfg = cfg.train_cfg
    key = 'max_iters' if 'max_iters' in train_cfg else 'max_epochs'
    length = max(1, train_cfg[key] // share)
    options = [f'train_cfg.{key}={length}', f'train_cfg.val_interval={10 * length}',
               f'default_hooks.checkpoint.interval={length}']  # fmt: skip
    for index, hook in enumerate(cfg.get('custom_hooks') or []):  # as --mini has it, see there
        for name in {'switch_epoch', 'num_last_epochs'} & set(hook):
            options.append(f'custom_hooks.{index}.{name}={length // 2}')
    return options, _part(train_cfg[key], length)


def _part(whole: int, trained: int) -> str:
    return f', 1/{round(whole / trained)}' if trained < whole else ''


def _metric(found: dict) -> str:
    key = next(key for key in METRICS if key in found)
    return f'{key.rpartition("/")[2]} {found[key]:.3g}'


def _export(job: Any, checkpoint: str, folder: str) -> str:
    from moganet_dense.export import export
    from moganet_dense.utils.errors import UserError

    try:
        export(job, checkpoint, f'{folder}/model.onnx')
    except UserError as error:
        return f'no: {str(error).splitlines()[0]}'
    return 'ONNX'


if __name__ == '__main__':
    if sys.argv[1:]:
        {'count': count, 'refused': refused, 'run': run}[sys.argv[1]](sys.argv[2:])
    (DOCS / 'heads.md').write_text(page())
    print(f'wrote {DOCS / "heads.md"}')
