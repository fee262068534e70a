"""``python -m moganet_dense.runtime FILE INPUT...``: ``predict`` without click and torch."""

import sys


def main() -> int:
    """Looks at pictures with an exported file; returns the exit code."""
    from ..cli import main  # above the runtime: this is an entry point
    from ..commands.bare import predict

    return main(sys.argv[1:], predict)


if __name__ == '__main__':
    sys.exit(main())
