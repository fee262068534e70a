"""mmpretrain's classifier with the backbone; configs import it by ``custom_imports``."""

from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS

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
