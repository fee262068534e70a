import runpy
import sys

import click


@click.command(context_settings=dict(ignore_unknown_options=True))
@click.argument('what', type=click.Choice(['infer', 'train', 'models', 'growth', 'gpu']))
@click.argument('rest', metavar='[OPTIONS OF tools/benchmark.py]', nargs=-1)
def command(what, rest) -> None:
    """Time backbones and models side by side; needs a checkout.

    The plain formulas that ours are held to live in its tests. tools/benchmark.py --help lists
    the options; --out FILE keeps the figures as JSON.

    \b
    moganet-dense benchmark infer --arch s --size 512
    moganet-dense benchmark models --out figures.json
    moganet-dense benchmark gpu --minutes 4 --out figures.json
    """
    from ..config.metafiles import package_root
    from ..utils.errors import UserError

    tool, formulas = (package_root() / path for path in ('tools/benchmark.py', 'tests/plain.py'))
    if not formulas.is_file():
        raise UserError(
            f'benchmark needs a checkout, for {formulas.name} in its tests; this is an installed '
            'copy: clone the project and run it there'
        )
    before, sys.argv = sys.argv, [str(tool), what, *rest]
    try:
        runpy.run_path(str(tool), run_name='__main__')
    finally:
        sys.argv = before
