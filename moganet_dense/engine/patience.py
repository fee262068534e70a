"""Stops a training whose metric no longer improves."""

from typing import Any

from mmengine.hooks import EarlyStoppingHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

from ..evaluation.metric_names import plain_name

_COUNT, _BEST = 'patience_count', 'patience_best'  # in the message hub, for a resumed training


@HOOKS.register_module()
class PatienceHook(EarlyStoppingHook):
    """mmengine's EarlyStoppingHook, which logs that it ends a training, and keeps its count when
    training is resumed. A validation that finds nothing, and so has no metric, is no better one."""

    def before_train(self, runner) -> None:
        known = runner.message_hub.runtime_info
        self.wait_count = int(known.get(_COUNT, 0))
        self.best_score = float(known.get(_BEST, self.best_score))

    def after_val_epoch(self, runner, metrics: dict[str, Any] | None = None) -> None:
        found = {self.monitor: -self._sign() * float('inf')} | dict(metrics or {})
        check, self.check_finite = self.check_finite, self.monitor in (metrics or {})
        super().after_val_epoch(runner, found)
        self.check_finite = check
        runner.message_hub.update_info(_COUNT, self.wait_count)
        if abs(self.best_score) < float('inf'):
            runner.message_hub.update_info(_BEST, float(self.best_score))
        if runner.train_loop.stop_training:
            plural = 's' * (self.wait_count != 1)
            print_log(
                f'stopped: {self.wait_count} validation{plural} without a better '
                f'{plain_name(self.monitor)} than {self.best_score:.4g}',
                'current',
            )

    def _sign(self) -> int:
        return 1 if self.rule == 'greater' else -1
