import sys

import click

from ..data.tasks import FORMATS, TASKS
from . import options


class Part(click.FloatRange):
    """A number between 0 and 1, exclusive."""

    def __init__(self) -> None:
        super().__init__(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument('data', type=click.Path(exists=True))
@click.option(
    '--task',
    type=click.Choice(list(TASKS)),
    help='Default: the most specific one that half of the instances are annotated for.',
)
@click.option('--name', metavar='NAME', help='Name of the config; default: name of the folder.')
@click.option(
    '--val',
    type=Part(),
    default=0.2,
    show_default=True,
    help='Share of the images for validation, if DATA has no split.',
)
@click.option('--boxes-class', metavar='NAME', help='Class with keypoints.')
@click.option(
    '--format',
    'form',
    type=click.Choice(FORMATS),
    help='Format to read, if DATA has several.',
)
@click.option('--void', type=int, help='Number in label maps that is not a class, besides 255.')
def command(data, task, name, val, boxes_class, form, void) -> None:
    """Create a config for a data set in any supported format.

    DATA is a folder with images and annotations: COCO (Roboflow, CVAT, Label Studio), YOLO,
    Pascal VOC, LabelMe, CVAT XML, Label Studio JSON, DOTA, label maps, Cityscapes. It is not
    changed: NAME.py and a folder NAME with the annotations are written to the current folder.

    \b
    moganet-dense init datasets/raccoon
    moganet-dense init datasets/scans --task masks --name scans --val 0.1
    """
    with options.quietly(sys.stderr):  # standard output has the result alone
        from ..init.messages import run
        from ..utils.printable import printable

        lines = list(
            run(data, task=task, name=name, val=val, boxes_class=boxes_class, form=form, void=void)
        )
    click.echo('\n'.join(map(printable, lines)))
