"""Training: a registered Runner, loops and hooks for configs; subclasses of mmengine's with safe
checkpoints and exact resuming."""

import mmengine  # noqa: F401  registers all of our classes before a module here is partially imported
