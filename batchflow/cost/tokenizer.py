"""The exact tokens of a text, offline, with the extra `tokens`: vocabularies come in a wheel, nothing is fetched."""

import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final, TypeAlias

Tokenizer: TypeAlias = Callable[[str], int]

_VOCABULARIES: Final = frozenset({"o200k_base", "cl100k_base"})  # those that the wheel holds
_KEPT: Final = 4_096  # counts of texts that come again: a system prompt, the labels of a factor
_SHORT: Final = 10_000  # characters of a text whose count is kept


@lru_cache(maxsize=64)
def tokenizer_of(model: str) -> Tokenizer | None:
    """What counts the tokens of a text as this model's tokenizer does; None without the extra, or where nobody knows
    the model's. It raises ValueError for a text that the library does not take: a million characters.
    """
    try:
        import tiktoken.model  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    try:
        name = tiktoken.model.encoding_name_for_model(model)
    except KeyError:
        return None
    return _counter(name) if name in _VOCABULARIES else None


@cache
def _counter(name: str) -> Tokenizer | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, of how it reads its vocabularies
        try:
            import bpe_openai  # noqa: PLC0415 - an extra, and heavy: it takes half a second
        except ImportError:
            return None
        encoding = bpe_openai.get_encoding(name)

    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    kept = lru_cache(maxsize=_KEPT)(count)
    return lambda text: kept(text) if len(text) <= _SHORT else count(text)
