import click

from . import options


@click.command()
@options.config
@click.option('--json', metavar='FILE', help='Write the report there, too; - prints it instead.')
@options.mini
@options.cfg_options
def command(config, json, mini, cfg_options) -> int:
    """Look at all data of a config.

    CONFIG is one of detection, segmentation or pose. Exit code 1: errors found.

    \b
    moganet-dense check configs/det/retinanet_moganet_s.py --json report.json
    moganet-dense check configs/det/retinanet_moganet_s.py --mini --json -
    """
    from ..apis.check import check
    from ..apis.run import Job

    return check(Job(config, mini=mini, cfg_options=cfg_options), json)
