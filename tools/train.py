"""The same as `python -m moganet_dense train`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
