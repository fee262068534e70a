from contextlib import nullcontext

import click

from . import options


@click.command()
@click.argument('models', nargs=-1, metavar='[CONFIG [CHECKPOINT]]...')
@click.option('--host', default='127.0.0.1', show_default=True, help='Address to listen on.')
@click.option('--port', type=click.IntRange(0, 65535), default=7860, show_default=True)
@click.option(
    '--allow-host',
    'allow_hosts',
    multiple=True,
    metavar='NAME',
    help='Also accept requests for this host name; may be repeated.',
)
@click.option(
    '--allow-embed',
    'embedders',
    multiple=True,
    metavar='ORIGIN',
    help='Let this site, as https://example.org, show the page in a frame; * for all; may be '
    'repeated.',
)
@options.no_cuda_graphs
def command(models, host, port, allow_hosts, embedders, no_cuda_graphs) -> None:
    """Start a web page that runs models on your images.

    CONFIG is a model name from the zoo, a config and its CHECKPOINT, a work dir, or a FILE.onnx
    that `export` wrote, which needs no torch. Pass several to choose between them on the page.
    Without any, the page offers all models with published weights and downloads them on first use.
    Only this machine can open the page unless you pass --host.

    \b
    moganet-dense demo retinanet_moganet_s upernet_moganet_t
    moganet-dense demo configs/det/retinanet_moganet_s.py work/best.pth --port 8000
    moganet-dense demo work_dirs/my_boxes retinanet_moganet_s
    """
    from ..demo import serve

    if models and all(name.lower().endswith('.onnx') for name in models):
        options.refuse('it is for PyTorch; an exported file takes none', 'no_cuda_graphs')
    with_torch = not all(name.lower().endswith('.onnx') for name in models)
    with options.quietly() if with_torch else nullcontext():
        serve(models, host, port, allow_hosts, not no_cuda_graphs, embedders)
