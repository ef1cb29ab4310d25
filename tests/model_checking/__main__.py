"""`python -m tests.model_checking`."""

import sys

from tests.model_checking.command_line import main

if __name__ == "__main__":
    sys.exit(main())
