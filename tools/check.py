"""The same as `python -m moganet_dense check`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.argv.insert(1, 'check')
    sys.exit(main())
