"""The command line: one file per command, texts for people on stderr, data on stdout."""

import gc
import os
from typing import Final

# What is imported stays. Looking again and again for what could be dropped of it is a tenth of every start-up.
_OBJECTS_BETWEEN_LOOKS: Final = 200_000

gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
# What other programs add to pydantic has no word in what a spec means; to look for it takes time, too.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
