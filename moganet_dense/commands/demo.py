import click

from . import options


@click.command()
@click.argument('models', nargs=-1, metavar='[CONFIG [CHECKPOINT]]...')
@click.option('--host', default='127.0.0.1', show_default=True, help='Address to listen at.')
@click.option('--port', type=click.IntRange(0, 65535), default=7860, show_default=True)
@click.option(
    '--allow-host',
    'allow_hosts',
    multiple=True,
    metavar='NAME',
    help='Name by which browsers reach the page, beside its address; may be repeated.',
)
@options.no_cuda_graphs
def command(models, host, port, allow_hosts, no_cuda_graphs) -> None:
    """Serve a web page on which models look at images.

    CONFIG is a name of the zoo, a config and its CHECKPOINT, or a work dir; several are offered
    side by side. Without any, all whose weights are published, fetched when they are first used.
    The page is for this machine alone unless --host says otherwise.

    \b
    moganet-dense demo retinanet_moganet_s upernet_moganet_t
    moganet-dense demo configs/det/retinanet_moganet_s.py work/best.pth --port 8000
    moganet-dense demo work_dirs/my_boxes retinanet_moganet_s
    """
    from ..demo import serve

    serve(models, host, port, allow_hosts, cuda_graphs=not no_cuda_graphs)
