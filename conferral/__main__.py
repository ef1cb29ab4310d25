"""`python -m conferral`."""

import sys

from conferral.main import main

if __name__ == "__main__":
    sys.exit(main())
