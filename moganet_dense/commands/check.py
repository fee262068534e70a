import json as to_json
import sys
from pathlib import Path

import click

from . import options


@click.command()
@options.config
@click.option(
    '--json', metavar='FILE', help='Also write the report as JSON; - prints it to stdout instead.'
)
@click.option('--fix', metavar='OUT', help='Write fixed annotations to a new folder OUT.')
@options.mini
@options.cfg_options
def command(config, json, fix, mini, cfg_options) -> int:
    """Validate every annotation and image of a config.

    CONFIG is a config for detection, segmentation or pose. Exit code 1: errors found. --fix OUT
    writes fixed copies of the annotations: ids, areas, boxes, image sizes, file names and masks
    of 0 and 255, where only one fix is possible.

    \b
    moganet-dense check configs/det/retinanet_moganet_s.py --json report.json
    moganet-dense check configs/det/retinanet_moganet_s.py --mini --json -
    moganet-dense check my_boxes.py --fix data/fixed
    """
    if fix:
        options.refuse('--fix checks nothing, it writes fixed files', 'json')
    with options.quietly(sys.stderr):  # standard output has the report alone
        from ..data.validation import check_all
        from ..engine.job import Job
        from ..utils.atomic import require_writable, write_whole
        from ..utils.errors import one_line

        if json not in (None, '-'):
            require_writable(Path(json), ('.json',))
        cfg = Job(config, mini=mini, cfg_options=cfg_options).read()
        if fix:
            from ..data.validation.fix import fix as write_fixes

            for line in write_fixes(cfg, Path(fix)):
                click.echo(line)
            return 0
        with one_line('the data cannot be checked'):
            report = check_all(cfg)
    content = to_json.dumps(report.content(), indent=1)
    print(content if json == '-' else report.words())
    if json and json != '-':
        write_whole(Path(json), content.encode())
    return int(report.number('error') > 0)
