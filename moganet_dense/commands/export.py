import click

from . import options


@click.command()
@options.words('CONFIG [CHECKPOINT]')
@options.out_file
@click.option(
    '--format', 'form', type=click.Choice(['onnx', 'torch-export']), default='onnx',
    show_default=True,
)  # fmt: skip
@click.option(
    '--shape', '--imgsz', multiple=True, type=int, metavar='HEIGHT WIDTH',
    help='Fix the input size; default: dynamic where the model allows it.',
)  # fmt: skip
@click.option('--backbone', is_flag=True, help='Export only the backbone and its feature maps.')
@click.option(
    '--int8', type=click.Choice(['dynamic', 'static']), help='Quantise the weights to int8 (ONNX).'
)
@click.option('--fp16', is_flag=True, help='Let the network compute in float16 (ONNX), for GPUs.')
@options.mini
@options.cfg_options
@click.option('--calibrate', metavar='DIR', help='Images that calibrate static int8.')
@options.trust
def command(words, out, form, shape, backbone, int8, fp16, mini, cfg_options, calibrate) -> None:
    """Export a model to a file that runs without this package.

    The file contains the fused model and its post-processing. Supported: RetinaNet, ATSS, FCOS,
    GFL, RTMDet, Faster, Mask and Cascade R-CNN, segmentation, top-down pose, classification and
    video prediction. Its outputs are compared with PyTorch before it is written. CONFIG and
    CHECKPOINT may be model names from the zoo; or pass a work dir in place of both. Default of
    --out: NAME.onnx or NAME.pt2.

    \b
    moganet-dense export retinanet_moganet_s --out retinanet.onnx
    moganet-dense export configs/seg/upernet_moganet_t.py CHECKPOINT --shape 512 512
    moganet-dense export work_dirs/my_boxes --format torch-export
    moganet-dense export configs/det/retinanet_moganet_s.py CHECKPOINT --out small.onnx \\
        --int8 static --calibrate photos/
    """
    from ..engine.job import Job

    ending = '.onnx' if form == 'onnx' else '.pt2'
    config, checkpoint, out = options.split_out(words, out, ending)
    from ..export import export

    job = Job(config, cfg_options=cfg_options, mini=mini)
    with options.quietly():
        export(job, checkpoint, out, form, list(shape) or None, backbone, int8, calibrate, fp16)
