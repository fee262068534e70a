"""Training: a registered Runner, loops and hooks that a config names; mmengine's, made safe."""

import mmengine  # noqa: F401  registers all of ours first, before a module here is half imported
