"""What a batch left owed, as a batch file of its own: the requests that no final outcome is known of, byte for byte.

A final outcome, an error that no repetition mends included, is never asked again.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchflow import files
from batchflow.errors import DataError, Fault, UsageError
from batchflow.results.lines import parse, records
from batchflow.results.outcome import Outcome

SHOWN_FAULTS: Final = 20


@dataclass(frozen=True, slots=True)
class Rest:
    """The account of a batch file: requests = final + the sum of owed."""

    requests: int
    final: int
    owed: dict[Outcome, int]


def write_rest(file: Path, results: list[Path], out: Path) -> Rest:
    """Write the requests of a checked batch file that have no final outcome in these result files; none, no file.

    Raises DataError for a line that cannot be read, since it may be a paid answer; UsageError where no result is one
    to a request of the file.
    """
    final, owed = _outcomes(results, next(_requests(file))[1])
    count, kinds = 0, Counter[Outcome]()
    for custom_id, _, _ in _requests(file):
        count += 1
        if custom_id not in final:
            kinds[owed.get(custom_id, Outcome.MISSING)] += 1
    if count == kinds[Outcome.MISSING]:
        raise UsageError(
            f"no line of {', '.join(map(str, results))} answers a request of {file}; nothing was written",
            hint="name the batch file that was uploaded, then its results",
        )
    if kinds:
        with files.atomic_writer(out) as handle:
            for custom_id, _, line in _requests(file):
                if custom_id not in final:
                    handle.write(line + b"\n")
    return Rest(count, count - kinds.total(), dict(sorted(kinds.items())))


def _requests(file: Path) -> Iterator[tuple[str, str, bytes]]:
    """custom_id, endpoint and line of every request."""
    for _, line in records(file):
        value = json.loads(line)
        yield value["custom_id"], value["url"], line


def _outcomes(results: list[Path], endpoint: str) -> tuple[set[str], dict[str, Outcome]]:
    """The ids that have a final outcome, and why the others have none."""
    final: set[str] = set()
    owed: dict[str, Outcome] = {}
    faults: list[Fault] = []
    for path in results:
        for number, record in records(path):
            answer = parse(record, endpoint)
            if answer is None:
                cause = "the line is no result: whether it answers a request cannot be told"
                faults.append(
                    Fault(str(path), cause, "fetch the results anew with `get-batch-results --force`", number)
                )
            elif answer.owed:
                owed[answer.custom_id] = answer.outcome
            else:
                final.add(answer.custom_id)
    if faults:
        raise DataError(faults[:SHOWN_FAULTS], total=len(faults))
    return final, owed
