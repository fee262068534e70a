"""What makes a training in a test cheaper, and changes nothing that the test looks at."""

import gc


def unformatted(text: str, **style) -> tuple[str, bool]:
    """In the place of yapf, which takes 0.1 to 0.6 s for a config: the text as it is."""
    return text, False


def prepare_forks() -> None:
    """After all imports of a process that forks others: those format no config, and their garbage
    collector does not look at what was imported."""
    from yapf.yapflib import yapf_api

    yapf_api.FormatCode = unformatted
    gc.freeze()
