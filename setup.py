"""Puts configs, tools and the model index into the wheel, as ``moganet_dense/.mim``.

OpenMMLab's tools look for them there. The lists of the set-up and the small distributions beside it
travel too, for ``moganet-dense doctor --fix``. Everything else is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
IN_MIM = ('configs', 'tools', 'model-index.yml', 'packages', 'requirements')


class BuildWithConfigs(build_py):
    """build_py, and then the files that live outside the package."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # there the checkout itself is found
            return
        target = Path(self.build_lib) / 'moganet_dense' / '.mim'
        for name in IN_MIM:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns('__pycache__', 'build', '*.egg-info')
                shutil.copytree(source, target / name, dirs_exist_ok=True, ignore=ignore)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target / name)


setup(cmdclass={'build_py': BuildWithConfigs})
