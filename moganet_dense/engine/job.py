"""A config with the changes of the command line."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ..config.mini_config import apply_mini, start_from_scratch
from ..config.numbers import require_numbers
from ..config.reading import parse_options, read_config, set_options, settle_workers
from ..utils.errors import one_line
from .distributed import main_first


@dataclass(frozen=True)
class Job:
    """Options shared by training and testing.

    Attributes:
        config: path of a config.
        work_dir: folder for logs and checkpoints; None: work_dirs/NAME, NAME_mini.
        cfg_options: ``key=value`` strings that override the config.
        launcher: none, pytorch, slurm or mpi.
        mini: use the bundled sample data set, small images and a short schedule.
        from_scratch: do not start from published weights.
        saved_in: work dir that has the config, and takes the place of the one that it names: the
            folder may have been moved or copied.
    """

    config: str | os.PathLike
    work_dir: str | None = None
    cfg_options: Sequence[str] = ()
    launcher: str = 'none'
    mini: bool = False
    from_scratch: bool = False
    saved_in: str | None = None

    def read(self) -> Config:
        """The config with the changes of the command line.

        Raises:
            UserError: there is no such config, an option cannot be set, or a number is none.
        """
        cfg = read_config(self.config)
        if self.mini:
            with main_first(), one_line('--mini cannot be applied to this config'):
                apply_mini(cfg)
        if self.from_scratch:
            start_from_scratch(cfg)
        set_options(cfg, parse_options(self.cfg_options, cfg))
        require_numbers(cfg)
        settle_workers(cfg)
        name = Path(self.config).stem + ('_mini' if self.mini else '')
        named = self.saved_in or cfg.get('work_dir') or os.path.join('work_dirs', name)
        cfg.work_dir = self.work_dir or named
        cfg.launcher = self.launcher
        return cfg
