"""Imported, has workers of loaders notice within half a second that their process was killed.

PyTorch has them look every 5 seconds; as long they keep the process's connections open, and its
peers wait.
"""

from torch.utils.data import _utils

for module in (_utils, _utils.worker):
    assert module.MP_STATUS_CHECK_INTERVAL == 5.0, 'the name is the one that PyTorch reads'
    module.MP_STATUS_CHECK_INTERVAL = 0.5
