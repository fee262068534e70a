"""The same as `python -m moganet_dense export`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.exit(main(['export', *sys.argv[1:]]))
