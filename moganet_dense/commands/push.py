import sys

import click

from . import options


@click.command()
@options.words('CONFIG [CHECKPOINT] OWNER/NAME')
@click.option('--private', is_flag=True, help='Make a private repository.')
@options.trust
def command(words, private) -> None:
    """Upload a model to the Hugging Face Hub.

    CONFIG is a config and its CHECKPOINT, or a work dir in place of both. The repository gets
    model.safetensors, config.json (plain data without paths of your data) and a card; load it with
    load_model('hf:OWNER/NAME'). Needs `pip install huggingface_hub` and `hf auth login`.

    \b
    moganet-dense push work_dirs/my_boxes me/my_boxes --private
    """
    config, checkpoint, rest = options.split_words(words, None)
    if len(rest) != 1 or rest[0].count('/') != 1:
        found = f'{config} {" ".join([checkpoint, *rest] if checkpoint else rest)}'.strip()
        raise click.UsageError(f'expected CONFIG [CHECKPOINT] OWNER/NAME, found {found}')
    from ..inference.hub import push
    from ..inference.predictor import load_model

    with options.quietly(sys.stderr):
        address = push(load_model(config, checkpoint, device='cpu'), rest[0], private)
    click.echo(address)
