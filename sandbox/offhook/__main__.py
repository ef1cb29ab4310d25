"""`python -m offhook` runs the command `offhook`."""

import sys

from offhook.command_line import main

sys.exit(main())
