"""Our names in the toolboxes' own lists, in a process of its own with another order of imports."""

from moganet_dense.config.metafiles import entries

TOOLBOXES = 'import mmdet.apis, mmseg.apis, mmpose.apis, mmpretrain'
NAMES_AFTER = """
{}
{}
moganet_dense.register()
from mmengine.infer import BaseInferencer as B
for scope in ('mmdet', 'mmseg', 'mmpose'):
    models = B._get_models_from_metafile(B._get_repo_or_mim_dir(scope))
    names = [m['Name'] for m in models]
    ours = [n for n in names if 'moganet' in n]
    print(scope, len(names) > len(ours) == len(set(ours)), *ours[:1])
print(len(mmpretrain.list_models('moganet')) == 30)
"""
"""A script, without its two imports in their order."""


def assert_names_are_known(output: str) -> None:
    """Checks what the script printed."""
    shown = [line for line in output.splitlines() if line.startswith(('mm', 'True', 'False'))]
    first = {scope: next(entries(scope))['Name'] for scope in ('mmdet', 'mmseg', 'mmpose')}
    assert shown == [f'{scope} True {name}' for scope, name in first.items()] + ['True']
