"""The same as `python -m moganet_dense test`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
