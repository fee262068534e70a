"""The same as `python -m moganet_dense test`."""

import sys

from moganet_dense.cli import main

if __name__ == '__main__':
    sys.argv.insert(1, 'test')
    sys.exit(main())
