"""The form of a request line: its custom_id, where it goes, its body. Many are joined only where they are written."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from batchflow.identity import json_text

HEAD: Final = b'{"custom_id":"'
BODY: Final = b',"body":'
TAIL: Final = b"}\n"


def body_of(line: bytes) -> bytes:
    """The body bytes of a request line of ours."""
    return line[line.index(BODY) + len(BODY) : -len(TAIL)]


def _middle(endpoint: str) -> bytes:
    return f'","method":"POST","url":{json_text(endpoint)}'.encode() + BODY


class Lines(NamedTuple):
    """Request lines of one endpoint as columns: custom_ids, body bytes, bytes of each line with its newline."""

    endpoint: str
    names: Sequence[bytes]
    bodies: Sequence[bytes]
    sizes: Sequence[int]

    @classmethod
    def of(cls, endpoint: str, names: Sequence[bytes], bodies: Sequence[bytes]) -> "Lines":
        around = len(HEAD) + len(_middle(endpoint)) + len(TAIL)
        lengths = zip(map(len, names), map(len, bodies), strict=True)
        return cls(endpoint, names, bodies, [around + name + body for name, body in lengths])

    @property
    def requests(self) -> int:
        return len(self.names)

    def part(self, start: int, stop: int) -> "Lines":
        return Lines(self.endpoint, self.names[start:stop], self.bodies[start:stop], self.sizes[start:stop])

    def joined(self, start: int = 0, stop: int | None = None) -> bytes:
        """The lines from the place `start` to that before `stop`."""
        names, bodies = self.names[start:stop], self.bodies[start:stop]
        pieces = [TAIL + HEAD, b"", _middle(self.endpoint), b""] * len(names)
        pieces[1::4], pieces[3::4] = names, bodies
        if pieces:
            pieces[0] = HEAD
            pieces.append(TAIL)
        return b"".join(pieces)
