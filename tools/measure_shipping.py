"""Measures what docs/ship.md tells; prints tables.

    python tools/measure_shipping.py parity onnx [CONFIG ...]          # random weights
    python tools/measure_shipping.py parity torch-export [CONFIG ...]  # minutes each
    python tools/measure_shipping.py kinds  # of the tests' tiny models: parity, float16, OpenVINO
    python tools/measure_shipping.py forms IMAGE [CONFIG ...]  # float16, OpenVINO; random weights
    python tools/measure_shipping.py int8 CONFIG CHECKPOINT  # trained with --mini, on mini
    python tools/measure_shipping.py cold CONFIG CHECKPOINT IMAGE  # against the full stack

``parity`` exports each config, by default those of EXPORTED, as the command does, and prints the
difference that the exporter found. ``forms`` runs the float32 file of each on an image by
onnxruntime, and prints how far the float16 file, and OpenVINO in float32, agree with that.
``int8`` exports float32, dynamic and static files with
``--mini`` and evaluates them by COCO's AP of boxes, and of masks, or by mIoU. ``cold`` makes an
environment of NumPy, OpenCV and onnxruntime, weighs it, and times the start of Python to the first
result.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
NEEDED = ('numpy', 'opencv-python-headless', 'onnxruntime')
EXPORTED = [
    f'configs/{name.format(arch)}.py'
    for arch in ('xt', 's')
    for name in (
        'det/retinanet_moganet_{}', 'det/mask_rcnn_moganet_{}', 'seg/upernet_moganet_{}',
        'seg/sem_fpn_moganet_{}', 'pose/topdown_moganet_{}_256x192',
        'pose/topdown_moganet_{}_384x288', 'cls/moganet_{}',
    )
] + [f'configs/det/{name}.py' for name in (
    'faster_rcnn_moganet_s', 'cascade_rcnn_moganet_s', 'cascade_mask_rcnn_moganet_s_ms_3x',
    'cascade_mask_rcnn_moganet_s_giou_ms_3x',
)]  # fmt: skip
COLD, ROUNDS, CALIBRATION = 5, 3, 16
ANNOTATIONS = 'data/mini/coco/annotations/instances_val2017.json'
ADE = 'data/mini/ade/ADEChallengeData2016'


def parity(form: str = '', *configs: str) -> None:
    import torch

    from moganet_dense.config.reading import read_config
    from moganet_dense.engine.job import Job
    from moganet_dense.export import FORMATS, export
    from moganet_dense.toolboxes.build import build

    if form not in FORMATS:
        sys.exit(f'parity: expected one of {FORMATS}, found {form}')
    sys.path.insert(0, str(ROOT / 'tests'))
    from randomised import randomised

    print('| model | largest difference | MB | s |\n| --- | --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        for config in configs or EXPORTED:
            torch.manual_seed(0)
            model = randomised(build(read_config(config)))
            weights, out = f'{folder}/weights.pth', f'{folder}/out'
            torch.save(dict(state_dict=model.state_dict()), weights)
            two = form != 'onnx' and 'rcnn' in config
            for backbone in (False, True) if 'sem_fpn' in config else (False,):
                start = time.perf_counter()
                _, error = export(
                    Job(config), weights, out, form, (192, 256) if two else None, backbone
                )
                took, size = time.perf_counter() - start, os.path.getsize(out) / 1e6
                name = config + (' --backbone' if backbone else '')
                name += ' --shape 192 256' if two else ''
                print(f'| `{name}` | {error:.1e} | {size:.0f} | {took:.0f} |', flush=True)


def kinds() -> None:
    """Each kind of model, tiny and random, at two other sizes than it was written at."""
    sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'tests/export')]
    from tiny_graphs import CODECS, KINDS, TASKS, graph, inputs_of

    from moganet_dense.export.agreement import compared
    from moganet_dense.export.formats import run_onnx, write_onnx
    from moganet_dense.export.half_graph import to_half
    from moganet_dense.export.parity import largest_difference, low_threshold

    print('| kind | onnxruntime | float16 | OpenVINO |\n| --- | --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            own, fixed = graph(kind), kind in (*CODECS, 'SimCC')
            single, half = Path(folder, f'{kind}.onnx'), Path(folder, f'{kind}_half.onnx')
            write_onnx(own, inputs_of(kind, 2), fixed, {}, single)
            half.write_bytes(single.read_bytes())
            to_half(half)
            sizes = ((1, 96, 64), (3, 96, 64)) if fixed else ((1, 64, 160), (3, 96, 96))
            trials = [inputs_of(kind, *size) for size in sizes]
            model = graph('FCOS').model if kind == 'backbone' else own.model
            with low_threshold(own, trials[0]) as score:
                run, converted = run_onnx(single, score), run_onnx(half, score)
                error = max(largest_difference(run, own, model, inputs) for inputs in trials)
            arrays = [[part.numpy() for part in inputs] for inputs in trials]
            plain = run_onnx(single)
            words = [compared(TASKS[kind], [(run(*a), converted(*a)) for a in arrays])]
            by_other = by_openvino(single)
            words += [compared(TASKS[kind], [(plain(*a), by_other(*a)) for a in arrays])]
            print(f'| {kind} | {error:.1e} | {" | ".join(words)} |', flush=True)


def forms(image: str, *configs: str) -> None:
    """The float16 file, and OpenVINO where it is installed, beside the float32 file."""
    import torch

    from moganet_dense.config.reading import read_config
    from moganet_dense.engine.job import Job
    from moganet_dense.export import export
    from moganet_dense.export.agreement import compared
    from moganet_dense.export.formats import run_onnx
    from moganet_dense.toolboxes.build import build

    sys.path.insert(0, str(ROOT / 'tests'))
    from randomised import randomised

    print('| model | MB | float16 MB | float16 | OpenVINO |\n| --- | --- | --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        for config in configs or EXPORTED:
            torch.manual_seed(0)
            model = randomised(build(read_config(config)))
            weights = f'{folder}/weights.pth'
            torch.save(dict(state_dict=model.state_dict()), weights)
            single, half = (Path(folder, name) for name in ('single.onnx', 'half.onnx'))
            export(Job(config), weights, str(single))
            export(Job(config), weights, str(half), fp16=True)
            runtime = model_of(str(single))
            feed = list(runtime.inputs(read(Path(image))).values())
            wanted = run_onnx(single)(*feed)
            words = [
                compared(runtime.task, [(wanted, run(*feed))])
                for run in (run_onnx(half), by_openvino(single))
            ]
            sizes = ' | '.join(f'{path.stat().st_size / 1e6:.1f}' for path in (single, half))
            print(f'| `{config}` | {sizes} | {" | ".join(words)} |', flush=True)


def by_openvino(path: Path) -> Callable:
    import openvino

    model = openvino.compile_model(str(path), 'CPU', dict(INFERENCE_PRECISION_HINT='f32'))
    return lambda *inputs: [np.asarray(part) for part in model(list(inputs)).values()]


def int8(config: str, checkpoint: str) -> None:
    from moganet_dense.engine.job import Job
    from moganet_dense.export import export
    from moganet_dense.export.formats import quantise

    if '/det/' in config:
        root, measure = Path('data/mini/coco'), coco_ap
        train, val = root / 'train2017', root / 'val2017'
    else:
        measure = mean_iou
        train, val = Path(ADE, 'images/training'), Path(ADE, 'images/validation')
    print('| file | MB | ms | AP or mIoU |\n| --- | --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        plain = export(Job(config, mini=True), checkpoint, f'{folder}/float32.onnx')[0]
        images = sorted(val.iterdir())
        files = [('float32', plain)]
        for kind in ('dynamic', 'static'):
            files.append((kind, plain.with_name(f'{kind}.onnx')))
            files[-1][1].write_bytes(plain.read_bytes())
            quantise(files[-1][1], kind, sorted(train.iterdir())[:CALIBRATION])
        models = {kind: model_of(str(out)) for kind, out in files}
        seconds: dict[str, list[float]] = {kind: [] for kind in models}
        for _ in range(ROUNDS):  # in turn, so that what else the machine does falls on all
            for kind, model in models.items():
                for image in images[:8]:
                    feed = model.inputs(read(image))
                    start = time.perf_counter()
                    model.session.run(None, feed)
                    seconds[kind].append(time.perf_counter() - start)
        for kind, out in files:
            quality = ', '.join(f'{value:.3f}' for value in measure(models[kind], images))
            ms, size = 1e3 * median(seconds[kind]), os.path.getsize(out) / 1e6
            print(f'| {kind} | {size:.1f} | {ms:.1f} | {quality} |', flush=True)


def model_of(path: str):
    from moganet_dense.runtime import load

    return load(path, threads=1)


def read(image: Path) -> np.ndarray:
    from moganet_dense.data.image_array import as_bgr

    return as_bgr(image)


def coco_ap(model: Callable, images: list[Path]) -> list[float]:
    """COCO's AP of boxes and, if the model has them, of masks."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(ANNOTATIONS)
    numbers = {image['file_name']: image['id'] for image in truth.dataset['images']}
    found = [
        dict(row, image_id=numbers[image.name]) for image in images for row in model(image).rows()
    ]
    kinds, values = ['bbox', 'segm'][: 1 + ('segmentation' in found[0])], []
    for kind in kinds:
        evaluation = COCOeval(truth, truth.loadRes(found), kind)
        with contextlib.redirect_stdout(sys.stderr):
            evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
        values.append(float(evaluation.stats[0]))
    return values


def mean_iou(model: Callable, images: list[Path]) -> list[float]:
    """mIoU over the classes that are there or are found; label 0 of ADE20K is ignored."""
    import cv2

    both, either = np.zeros(150), np.zeros(150)
    for image in images:
        path = Path(ADE, 'annotations/validation', image.stem + '.png')
        truth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int) - 1
        known = truth >= 0
        found, truth = model(image).labels[known], truth[known]
        hits = np.bincount(truth[found == truth], minlength=150)
        both += hits
        either += np.bincount(truth, minlength=150) + np.bincount(found, minlength=150) - hits
    return [float(np.mean((both / np.maximum(either, 1))[either > 0]))]


def cold(config: str, checkpoint: str, image: str) -> None:
    from moganet_dense.engine.job import Job
    from moganet_dense.export import export

    with tempfile.TemporaryDirectory() as folder:
        file = export(Job(config), checkpoint, f'{folder}/model.onnx')[0]
        venv.create(f'{folder}/env', with_pip=True)
        bare = f'{folder}/env/bin/python'
        subprocess.run([bare, '-m', 'pip', 'install', '--quiet', *NEEDED], check=True)
        onnx = f'from moganet_dense.runtime import load; load({str(file)!r})({image!r})'
        full = (
            'from moganet_dense import load_model; '
            f'load_model({config!r}, {checkpoint!r}, deploy=True)({image!r})'
        )
        seconds: dict[str, list[float]] = {bare: [], sys.executable: []}
        options = dict(env=dict(os.environ, PYTHONPATH=str(ROOT)))
        for _ in range(COLD):
            for python, code in [(bare, onnx), (sys.executable, full)]:
                start = time.perf_counter()
                subprocess.run([python, '-c', code], check=True, capture_output=True, **options)
                seconds[python].append(time.perf_counter() - start)
        print('| environment | MB | cold start, s |\n| --- | --- | --- |')
        for name, python in [('ONNX', bare), ('full', sys.executable)]:
            code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
            site = subprocess.run([python, '-c', code], capture_output=True, text=True, check=True)
            values = ', '.join(f'{s:.1f}' for s in sorted(seconds[python]))
            print(f'| {name} | {weight(Path(site.stdout.strip())):.0f} | {values} |')
        print(json.dumps(dict(file_MB=round(file.stat().st_size / 1e6, 1))))


def weight(folder: Path) -> float:
    """MB of all files in a folder, without pip and setuptools, which every environment has."""
    files = (path for path in folder.rglob('*') if path.is_file() and not path.is_symlink())
    own = ('pip', 'setuptools', 'pkg_resources')
    return sum(f.stat().st_size for f in files if f.relative_to(folder).parts[0] not in own) / 1e6


if __name__ == '__main__':
    what, *rest = sys.argv[1:] or ['']
    commands = dict(parity=parity, kinds=kinds, forms=forms, int8=int8, cold=cold)
    if what not in commands:
        sys.exit(__doc__)
    commands[what](*rest)
