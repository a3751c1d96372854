"""Half characters (lone surrogates), which JSON can carry and most other things cannot."""

from typing import Any


def joined(value: Any) -> Any:
    """The value as JSON can say it: two half characters that meet are one."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, list):
        return [joined(member) for member in value]
    return {joined(key): joined(member) for key, member in value.items()} if isinstance(value, dict) else value
