"""The same as `python -m moganet_dense deploy`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.exit(main(['deploy', *sys.argv[1:]]))
