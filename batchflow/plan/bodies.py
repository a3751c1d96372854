"""Which bodies of answers DuckDB writes as our JSON writer does: the same must be told where they are counted and where
they are taken. Both look at the text without blanks whose characters stand as they are.
"""

from typing import Final

# A control character, half a pair, or what takes two of them; an escape beyond those of one letter; a number that may
# have an exponent, or more digits than a whole number of 64 bits. Means the same to Python and to DuckDB.
OTHERWISE: Final = "[^ -~\x80-\ud7ff\ue000-\uffff]|\\\\u|[:,\\[]-?(?:0\\.0000|[0-9]{17}|[0-9.]+e)"
MOST_BEYOND: Final = 100  # bytes more than characters; DuckDB takes half a microsecond to escape one character
