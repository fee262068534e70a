"""``python -m moganet_dense.runtime FILE INPUT...``: ``predict`` of an exported file."""

import sys


def main() -> int:
    """Runs an exported file on images; returns the exit code."""
    from ..cli import main  # above the runtime: this is an entry point

    return main(['predict', '--runtime', 'onnx', *sys.argv[1:]])


if __name__ == '__main__':
    sys.exit(main())
