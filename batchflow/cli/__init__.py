"""The command line: one file per command, texts for people on stderr, data on stdout."""

import gc
from typing import Final

# What is imported stays. Looking again and again for what could be dropped of it is a tenth of every start-up.
_OBJECTS_BETWEEN_LOOKS: Final = 50_000

gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
