"""mmpretrain's classifier around the backbone; configs bring it in by ``custom_imports``.

Importing this module also makes mmengine read checkpoints without running code, for
mmpretrain has no other place to say so: whoever builds one of our classifiers by name and
gives it a file is safe.
"""

from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS

from ..engine.checkpoints import read_without_code
from ..weights.families import classifier_state
from ..weights.loading import check_fit

read_without_code()


@MODELS.register_module()
class MogaNetClassifier(ImageClassifier):
    """``ImageClassifier`` that loads the files of every family by their own names.

    The backbone loads whole or not at all (WeightsError); a head of another size, as in
    fine-tuning, is mmengine's to report.
    """

    def _load_from_state_dict(self, state_dict, prefix: str, *rest) -> None:
        if not prefix:  # at the root: what happens to the dict here, the children see
            named = classifier_state(state_dict)
            state_dict.clear()
            state_dict.update(named)
            start = 'backbone.'
            inner = {k.removeprefix(start): v for k, v in named.items() if k.startswith(start)}
            check_fit(self.backbone, inner)
        super()._load_from_state_dict(state_dict, prefix, *rest)
