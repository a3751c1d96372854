"""Where the values of a YAML text stand: any later layer points into the file with them."""

from typing import NamedTuple, TypeAlias

from batchflow.errors import Fault
from batchflow.spec.source_text import SourceText
from batchflow.spec.yaml_tree import Node

Loc: TypeAlias = tuple[str | int, ...]


class Places(NamedTuple):
    """A text and the tree that was read from it."""

    source: SourceText
    root: Node

    def fault(self, loc: Loc, cause: str, remedy: str, *, key: bool = False, inside: int = 0) -> Fault:
        """A fault at the value of a key path such as ("data", "source"), or at the key itself; where the key is absent,
        at its nearest ancestor. inside: characters from the beginning of the text that stands there.
        """
        start = self._offset(loc, key=key)
        steps, nodes = self.walk(loc)
        text = nodes[-1].value if len(steps) == len(loc) and not key else None
        found = _find_again(self.source.text, start, text, inside) if inside and isinstance(text, str) else start
        return self.source.fault(found, cause, remedy)

    def walk(self, loc: Loc) -> tuple[list[str | int], list[Node]]:
        """The steps of a path that exist, and the nodes met, the root first."""
        steps: list[str | int] = []
        nodes = [self.root]
        for step in loc:
            child = nodes[-1].child(step)
            if child is None:
                break
            steps.append(step)
            nodes.append(child)
        return steps, nodes

    def _offset(self, loc: Loc, *, key: bool) -> int:
        steps, nodes = self.walk(loc)
        last = nodes[-1]
        absent = len(steps) < len(loc)
        # its key has a fault of its own
        if absent and isinstance(last.value, dict) and loc[len(steps)] in last.key_starts:
            return last.key_starts[str(loc[len(steps)])]
        if steps and (key or (absent and isinstance(last.value, dict))):
            return nodes[-2].key_starts.get(str(steps[-1]), last.start)
        return last.start


def _find_again(written: str, start: int, text: str, inside: int) -> int:
    """Where the slot that begins at a place of a YAML text stands in the file, which breaks its lines otherwise; the
    beginning of the text where the slot is written in another way.
    """
    end = text.find("}}", inside)
    slot = text[inside : end + 2] if end >= 0 else text[inside:]
    found = start - 1
    for _ in range(text.count(slot, 0, inside) + 1):
        found = written.find(slot, found + 1)
        if found < 0:
            return start
    return found
