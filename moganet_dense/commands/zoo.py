import json as to_json

import click

from . import options


@click.group(invoke_without_command=True)
@click.pass_context
def command(context) -> None:
    """List the models, show one, or download its weights.

    \b
    moganet-dense zoo
    moganet-dense zoo list --json
    moganet-dense zoo show retinanet_moganet_s
    moganet-dense zoo download retinanet_moganet_s
    """
    if context.invoked_subcommand is None:
        context.invoke(list_all)


@command.command('list')
@options.json
def list_all(json=False) -> None:
    """List all models: task, size, published results, and whether weights are published."""
    from ..zoo.listing import facts, table

    click.echo(to_json.dumps(facts(), indent=1) if json else table())


@command.command()
@options.zoo_name
@options.json
def show(name, json) -> None:
    """Show the details of a model."""
    from ..zoo.listing import facts_of, words

    click.echo(to_json.dumps(facts_of(name), indent=1) if json else words(name))


@command.command()
@options.zoo_name
def download(name) -> None:
    """Download the published weights into PyTorch's cache, and print the path of the file.

    NAME is a model name from the list, or moganet://NAME for the weights of a backbone.
    """
    from ..zoo.listing import download

    click.echo(download(name))
