"""The text of a config, formatted once for a run, which needs it six times and more."""

from typing import ClassVar

from mmengine.config import Config

from ..config.config_text import without_placeholders

KEPT = 4  # configs: a run changes its own while it is built


class FormattedOnce(Config):
    """mmengine's Config, with the text kept as long as the content is the same.

    mmengine formats it again for the log, the work dir, each tracker and the checkpoints; yapf
    takes about a second each time.
    """

    _texts: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls, cfg: Config | dict) -> 'FormattedOnce':
        """A copy of a config."""
        found = cls.__new__(cls)
        whole = cfg if isinstance(cfg, Config) else Config(cfg)
        found.__setstate__(whole.copy().__getstate__())
        return found

    @property
    def pretty_text(self) -> str:
        """As mmengine's, without what it would replace when it is read again."""
        content = repr(self.to_dict())
        if content not in self._texts:
            while len(self._texts) >= KEPT:
                self._texts.pop(next(iter(self._texts)))
            self._texts[content] = without_placeholders(super().pretty_text)
        return self._texts[content]
