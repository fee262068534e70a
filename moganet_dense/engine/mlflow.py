"""Images for MLflow."""

from typing import Any

import numpy as np
from mmengine.registry import VISBACKENDS
from mmengine.visualization import MLflowVisBackend


@VISBACKENDS.register_module()
class MLflowImageBackend(MLflowVisBackend):
    """mmengine's MLflowVisBackend with the file suffix that MLflow requires in image names."""

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **options: Any) -> None:
        """Logs (H, W, 3), uint8, RGB, as ``name_step.png``."""
        super().add_image(f'{name}_{step}.png', image, step, **options)
