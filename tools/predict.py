"""The same as `python -m moganet_dense predict`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.exit(main(['predict', *sys.argv[1:]]))
