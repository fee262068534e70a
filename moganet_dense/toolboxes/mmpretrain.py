"""mmpretrain's classifier with the backbone; configs import it by ``custom_imports``."""

from typing import Any

from mmpretrain.datasets import transforms
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS, TRANSFORMS

from ..data.image_io import require_resizable
from ..weights.conversion import classifier_state
from ..weights.loading import check_fit


@MODELS.register_module()
class MogaNetClassifier(ImageClassifier):
    """``ImageClassifier`` that loads the files of every family by their own names.

    The backbone loads completely or not at all (WeightsError); mmengine reports a head of another
    size, as in fine-tuning.
    """

    def _load_from_state_dict(self, state_dict, prefix: str, *rest) -> None:
        if not prefix:  # at the root: changes of the dict here apply to the children
            named = classifier_state(state_dict)
            state_dict.clear()
            state_dict.update(named)
            start = 'backbone.'
            inner = {k.removeprefix(start): v for k, v in named.items() if k.startswith(start)}
            check_fit(self.backbone, inner)
        super()._load_from_state_dict(state_dict, prefix, *rest)


@TRANSFORMS.register_module(force=True)
class ResizeEdge(transforms.ResizeEdge):
    """mmpretrain's, for images whose longer side does not take all memory."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resizes ``img``.

        Raises:
            ValueError: it would have too many pixels.
        """
        if self.edge == 'short':
            require_resizable(results['img'].shape[:2], self.scale)
        return super().transform(results)
