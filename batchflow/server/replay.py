"""Answers replayed from recorded runs: the body of a request, looked up among the bodies that were recorded.

Recorded result lines hold no request, so each recording is a pair: the request lines, and the result lines that answer
them. A body recorded several times gives its answers draw by draw. What passes (429, 5xx) is not replayed.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchflow.errors import SetupError, UsageError
from batchflow.server.lines import RequestLine, parse_line, value_of
from batchflow.server.responder import CHAT, Ask, Refused, Reply

REPLAY_VERSION: Final = 1

_PASSING: Final = frozenset({408, 409, 429})
_OK: Final = 200
_REFUSALS: Final = (400, 500)
_MOST_TOKENS: Final = 2**31  # of one answer; whatever stands in the file, a sum of them is kept
_HINT: Final = "name a run's folder, or REQUESTS.jsonl=RESPONSES.jsonl"


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of requests and the files of their results."""

    requests: Path
    results: tuple[Path, ...]


def recordings(sources: Sequence[str]) -> list[Recording]:
    """What `--replay` names; UsageError or SetupError where it is nothing that can be replayed."""
    return [recording for source in sources for recording in _recordings(source)]


def _recordings(source: str) -> list[Recording]:
    requests, found, results = source.partition("=")
    if not found:
        return _of_folder(Path(source))
    for path in (requests, results):
        if not Path(path).is_file():
            raise SetupError(f"--replay: there is no file {path}", hint=_HINT)
    return [Recording(Path(requests), (Path(results),))]


def _of_folder(folder: Path) -> list[Recording]:
    if not folder.is_dir():
        raise UsageError(f"--replay {folder}: this is no folder of a run", hint=_HINT)
    found = [
        Recording(path, tuple(sorted((folder / "responses").glob(f"{path.stem}.*.jsonl"))))
        for path in sorted((folder / "requests").glob("*.jsonl"))
    ]
    if not any(recording.results for recording in found):
        raise SetupError(f"--replay {folder}: nothing was recorded there (requests/ and responses/)", hint=_HINT)
    return found


class Replay:
    """Answers from recordings. Only where each answer stands is held in memory."""

    def __init__(self, recorded: Sequence[Recording]) -> None:
        self._places: dict[tuple[str, bytes], list[tuple[Path, int]]] = {}
        for recording in recorded:
            self._take(recording)

    @property
    def bodies(self) -> int:
        """How many different requests can be answered."""
        return len(self._places)

    def reply(self, ask: Ask, created: int) -> Reply:  # noqa: ARG002 - the recording tells when it was created
        """The recorded answer of this body and draw; 404 where there is none."""
        places = self._places.get((ask.endpoint, ask.digest), [])
        if ask.draw > len(places):
            said = f"recorded {len(places)} times, this is draw {ask.draw}" if places else "never recorded"
            message = (
                f"Nothing to replay: this request body was {said}. Recordings are found by the exact bytes of a body."
            )
            return Refused(message, None, "not_recorded", status=404).reply()
        path, offset = places[ask.draw - 1]
        try:
            with path.open("rb") as handle:
                handle.seek(offset)
                status, body = _answer(value_of(handle.readline().rstrip())) or (0, {})
        except (OSError, ValueError):
            return Refused(f"{path} changed since the server began to replay it.", None, "not_recorded", 500).reply()
        usage = body.get("usage")
        told = usage if isinstance(usage, dict) else {}
        return Reply(
            status,
            body,
            _count(told, "prompt_tokens", "input_tokens"),
            _count(told, "completion_tokens", "output_tokens"),
        )

    def _take(self, recording: Recording) -> None:
        answers: dict[str, tuple[Path, int]] = {}
        for path in recording.results:
            for offset, result in _result_lines(path):
                if _answer(result) is not None:
                    answers.setdefault(str(result.get("custom_id")), (path, offset))
        for line in _request_lines(recording.requests):
            place = answers.get(str(line.members.get("custom_id")))
            if place is not None:
                key = (str(line.members.get("url") or CHAT), Ask({}, line.body_bytes, 1).digest)
                self._places.setdefault(key, []).append(place)


def _request_lines(path: Path) -> Iterator[RequestLine]:
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            if not raw.strip():
                continue
            try:
                yield parse_line(raw)
            except ValueError as error:
                raise SetupError(f"--replay: {path}, line {number} is not a request", hint=_HINT) from error


def _result_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(where it begins in bytes, the line)."""
    offset = 0
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            if raw.strip():
                try:
                    line = value_of(raw.removeprefix(BOM_UTF8).rstrip())
                except ValueError as error:
                    raise SetupError(f"--replay: {path}, line {number} is not a result line", hint=_HINT) from error
                if isinstance(line, dict):
                    yield offset + len(BOM_UTF8) * raw.startswith(BOM_UTF8), line
            offset += len(raw)


def _answer(line: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """Status and body of a result line, if they would be the same on another day."""
    response = line.get("response")
    if not isinstance(response, dict):
        return None
    status, body = response.get("status_code"), response.get("body")
    if type(status) is not int or not isinstance(body, dict):
        return None
    lasting = status == _OK or (_REFUSALS[0] <= status < _REFUSALS[1] and status not in _PASSING)
    return (status, body) if lasting else None


def _count(usage: Mapping[str, Any], *names: str) -> int:
    found = next((usage[name] for name in names if type(usage.get(name)) is int), 0)
    return min(max(0, found), _MOST_TOKENS)
