import click


@click.command()
@click.argument('work_dirs', metavar='WORK_DIR [WORK_DIR2]', nargs=-1, required=True)
@click.option('--out', metavar='FILE', help='Default: report.html in the last WORK_DIR.')
def command(work_dirs, out) -> None:
    """Write the report of a run, or of two runs side by side, as one HTML file.

    \b
    moganet-dense report work_dirs/retinanet_moganet_s_mini
    moganet-dense report work_dirs/before work_dirs/after --out comparison.html
    """
    if len(work_dirs) > 2:
        raise click.UsageError(f'expected one or two work dirs, found {len(work_dirs)}')
    from ..report.write import report

    click.echo(report(work_dirs, out))
