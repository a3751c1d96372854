"""Write what will be sent: rows and template to request files of round 1, and of what is owed to those of a later one.

Free to repeat until it is published. Crash windows: `build.before-publish` (a nameless folder, swept by the next
command), `build.after-publish` (a run of which nothing was sent), `round.before-publish` and `round.after-publish`
(files without an event: written again, byte for byte, before anything of the round is sent).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from batchflow import failpoints, files
from batchflow.errors import DataError, Fault, SetupError
from batchflow.identity import custom_id, json_text, sha256_hex
from batchflow.journal.events import Event
from batchflow.journal.state import RunState
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import Shard, ShardCutter, custom_id_of, shard_name
from batchflow.plan.study import Study
from batchflow.prompts.template import RowFaults
from batchflow.results.outcome import Outcome
from batchflow.sources.maps import Built, Chosen, MapWriter, write_later
from batchflow.sources.rows import Chunk, Rows
from batchflow.steps.base import StepName
from batchflow.steps.collect import read_shard

CHUNK: Final = 2_000  # rows rendered at a time
SHOWN_FAULTS: Final = 20
HEADROOM: Final = 1.2  # request files, their map and what comes back beside them


def lines(study: Study, rows: Rows, fingerprint: str) -> Iterator[list[tuple[Built, bytes]]]:
    """Every request of round 1 in row order, rendered and checked, a chunk at a time; shard and line are not set yet.

    Raises DataError with the rows that cannot be asked.
    """
    stored = {column.name: column.stored for column in study.reading.columns if column.name in study.template.columns}
    faults: list[Fault] = []
    count = 0
    for chunk in rows.chunks(list(stored.values()), size=CHUNK):
        try:
            bodies = study.template.render({name: chunk.columns[kept] for name, kept in stored.items()}, chunk.count)
        except RowFaults as error:
            count += len(error.faults)
            faults += error.as_faults(study.source_shown, chunk.first_row, chunk.row_ids)[: SHOWN_FAULTS - len(faults)]
            continue
        requests = list(_requests(study, chunk, bodies, fingerprint))
        wrong = [fault for _, line in requests if (fault := _oversized(study, line)) is not None]
        count += len(wrong)
        faults += wrong[: SHOWN_FAULTS - len(faults)]
        if not faults:
            yield requests
    if faults:
        raise DataError(
            faults, hint=f"{count} in all, the first {len(faults)} are shown" if count > len(faults) else ""
        )


def _requests(study: Study, chunk: Chunk, bodies: list[bytes], fingerprint: str) -> Iterator[tuple[Built, bytes]]:
    endpoint = study.spec.experiment.endpoint
    middle = f',"method":"POST","url":{json_text(endpoint)},"body":'.encode()
    for offset, body in enumerate(bodies):
        number = chunk.first_row + offset
        name = custom_id(number, 1, 1, fingerprint)
        line = b'{"custom_id":"' + name.encode() + b'"' + middle + body + b"}\n"
        check(line, name, endpoint, study.template.model)
        yield Built(name, number, chunk.row_ids[offset], 1, 1, sha256_hex(body), 0, 0), line


def check(line: bytes, name: str, endpoint: str, model: str) -> None:
    """What the provider would refuse a whole file for. The template was checked before: a failure here is a bug."""
    request: dict[str, Any] = json.loads(line)
    body = request["body"]
    sound = (
        request["custom_id"] == name
        and request["url"] == endpoint
        and body.get("model") == model
        and not body.get("stream")
        and line.count(b"\n") == 1
    )
    if not sound:
        raise AssertionError(f"request {name} was built wrongly")


def _oversized(study: Study, line: bytes) -> Fault | None:
    limit = study.spec.experiment.limits.bytes_per_batch
    if len(line) <= limit:
        return None
    number = int(custom_id_of(line).partition("-")[0])
    return Fault(
        study.source_shown,
        f"row {number}: its request has {len(line):,} bytes, more than a request file may have ({limit:,})",
        "shorten its cells, or raise limits.bytes_per_batch (at most 200MB)",
    )


def build_first(study: Study, folder: RunFolder, rows: Rows, fingerprint: str) -> tuple[list[Shard], int, int]:
    """Write the request files and the map of round 1; returns the shards, the requests, and the distinct prompts."""
    limits = study.spec.experiment.limits
    files.make_folder(folder.requests)
    files.make_folder(folder.responses)
    with (
        MapWriter() as mapped,
        ShardCutter(folder, 1, requests=limits.requests_per_batch, bytes_=limits.bytes_per_batch) as cutter,
    ):
        for position, requests in enumerate(lines(study, rows, fingerprint)):
            if position == 0:
                _check_disk(folder, rows.count, requests)
            placed = []
            for built, line in requests:
                place = cutter.add(line)
                placed.append(built._replace(shard=place.shard, line=place.line))
            mapped.add(placed)
        shards = cutter.close()
        finished = mapped.finish(folder.map(1), study.target.scope, study.spec.experiment.endpoint)
    return shards, finished.requests, finished.distinct


def _check_disk(folder: RunFolder, rows: int, first: list[tuple[Built, bytes]]) -> None:
    """Refuse before the disk is full, not after."""
    needed = int(sum(len(line) for _, line in first) / len(first) * rows * HEADROOM)
    free = files.free_bytes(folder.path)
    if needed > free:
        raise SetupError(
            f"the request files need about {needed / 1e6:,.0f} MB, the disk has {free / 1e6:,.0f} MB free",
            hint="free some space, or move the project to a larger disk",
        )


def built_event(round_: int, shards: Iterable[Shard]) -> Event:
    entries = [
        {"shard": s["number"], "requests": s["requests"], "bytes": s["bytes"], "sha256": s["sha256"]}
        for s in map(asdict, shards)
    ]
    payload = {"requests": sum(entry["requests"] for entry in entries), "shards": entries}
    return Event("built", payload, step=StepName.BUILD, round=round_)


def build_later(folder: RunFolder, state: RunState, *, requests: int, bytes_: int) -> Event:
    """Write the next round: the lines of everything owed, taken from the files of the last round as they are.

    Returns the event that makes the round true.
    """
    last, next_ = state.round, state.round + 1
    for leftover in folder.requests.glob(f"r{next_}[-.]*"):
        leftover.unlink()
    with ShardCutter(folder, next_, requests=requests, bytes_=bytes_) as cutter:
        chosen = (part for shard in state.shards(last) for part in _owed(folder, last, shard.number, state, cutter))
        write_later(folder.map(last), chosen, folder.map(next_))
        failpoints.hit("round.before-publish")
        shards = cutter.close()
    failpoints.hit("round.after-publish")
    return built_event(next_, shards)


def _owed(folder: RunFolder, last: int, number: int, state: RunState, cutter: ShardCutter) -> Iterator[list[Chosen]]:
    """Copy the owed lines of one shard of the last round; says where they went."""
    collected = state.shard(last, number).collected
    if collected is None or not collected["account"]["owed"]:
        return
    reading = read_shard(folder, last, number, [file["name"] for file in collected["files"]]).run()
    owed: dict[str, Outcome] = reading.owed
    with folder.shard(shard_name(last, number)).open("rb") as handle:
        while part := list(islice(handle, CHUNK)):
            placed = []
            for line in part:
                name = custom_id_of(line)
                if name in owed:
                    placed.append(Chosen(name, *cutter.add(line)))
            if placed:
                yield placed
