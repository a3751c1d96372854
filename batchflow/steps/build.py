"""Write what will be sent: rows and template to the request files of round 1.

Free to repeat until it is published. Crash windows: `build.before-publish` (a nameless folder, swept by the next
command), `build.after-publish` (a run of which nothing was sent).
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, BinaryIO, Final, NamedTuple

from batchflow import files
from batchflow.cost.tally import Group, Tally
from batchflow.cost.weighing import Scale, Weight
from batchflow.errors import DataError, Fault, SetupError, SpecError
from batchflow.identity import custom_id, json_text, sha256_hex
from batchflow.journal.events import Event
from batchflow.plan.folder import RunFolder
from batchflow.plan.shards import Shard, ShardCutter, custom_id_of
from batchflow.plan.study import Study
from batchflow.prompts.check import inputs_of
from batchflow.prompts.personal import Finding, Lint
from batchflow.prompts.template import RowFaults
from batchflow.sources.maps import Built, MapWriter
from batchflow.sources.rows import Chunk, Rows
from batchflow.sources.settling import TAKEN_SHARD, Placed, SettlingWriter
from batchflow.spec.endpoints import EMBEDDINGS
from batchflow.steps.base import StepName
from batchflow.steps.take import TAKEN_ROUND, Prior, copy_answers, finals_of
from batchflow.steps.weigh import add_line

CHUNK: Final = 2_000  # requests rendered at a time, but for the last row's
SHOWN_FAULTS: Final = 20
HEADROOM: Final = 1.2  # request files, their map and what comes back beside them


class Travels(NamedTuple):
    """What decides which requests may travel in one file: the model they ask, and how many inputs they bring."""

    model: str
    inputs: int


class Rendered(NamedTuple):
    """A request that is ready to be sent: what the map holds of it, its line, and its weight, where that is asked."""

    built: Built
    line: bytes
    travels: Travels
    weight: Weight | None = None


class _Looks(NamedTuple):
    """What every request is given, and who looks at it on its way: for personal data, for its weight."""

    fingerprint: str
    lint: Lint | None
    scale: Scale | None


ALL_ROWS: Final = ((1, None),)


def lines(
    study: Study,
    rows: Rows,
    fingerprint: str,
    *,
    lint: Lint | None = None,
    ranges: Iterable[tuple[int, int | None]] = ALL_ROWS,
    scale: Scale | None = None,
) -> Iterator[list[Rendered]]:
    """Every request of round 1 in row order, rendered and checked, a chunk at a time; shard and line are not set yet.
    lint: sees what rows bring into them. ranges: the rows that are looked at, first and last of each. scale: weighs
    each request.

    Raises DataError with the rows that cannot be asked, SpecError for a condition of the design that fails.
    """
    stored = {column.name: column.stored for column in study.reading.columns if column.name in study.design.columns}
    faults: list[Fault] = []
    count = 0
    with study.design.assigned(rows.path) as assignment:
        size = max(1, CHUNK // study.design.most_each)
        parts = (rows.chunks(list(stored.values()), first=first, last=last, size=size) for first, last in ranges)
        looks = _Looks(fingerprint, lint, scale)
        for chunk in chain.from_iterable(parts):
            found, requests = _chunk(study, chunk, stored, assignment.of(chunk), looks)
            count += len(found)
            faults += found[: SHOWN_FAULTS - len(faults)]
            if not faults:
                yield requests
    if faults:
        raise DataError(faults, total=count)


def _chunk(
    study: Study,
    chunk: Chunk,
    stored: Mapping[str, str],
    assigned: list[Sequence[int]],
    looks: _Looks,
) -> tuple[list[Fault], list[Rendered]]:
    """The requests of some rows, and what is wrong with them."""
    bodies: dict[tuple[int, int], bytes] = {}
    faults: dict[Fault, None] = {}
    asked: dict[int, list[int]] = defaultdict(list)
    for offset, places in enumerate(assigned):
        for place in places:
            asked[place].append(offset)
    for place in sorted(asked):
        cell, offsets = study.design.cells[place], asked[place]
        cells: dict[str, list[str]] = {name: [text] * len(offsets) for name, text in cell.constants.items()}
        for name, kept in stored.items():
            column = chunk.columns[kept]
            cells[name] = column if len(offsets) == chunk.count else [column[offset] for offset in offsets]
        try:
            watch = looks.lint.watch(chunk.first_row, chunk.row_ids, offsets) if looks.lint is not None else None
            rendered = cell.template.render(cells, len(offsets), watch)
        except RowFaults as error:
            told = error.at(offsets).as_faults(study.source_shown, chunk.first_row, chunk.row_ids)
            faults.update(dict.fromkeys(told))  # once, though every condition meets it
        else:
            bodies.update(((place, offset), body) for offset, body in zip(offsets, rendered, strict=True))
    if faults:
        return list(faults), []
    requests = list(_requests(study, chunk, bodies, assigned, looks))
    return [fault for each in requests if (fault := _oversized(study, each.line)) is not None], requests


def _requests(
    study: Study,
    chunk: Chunk,
    bodies: Mapping[tuple[int, int], bytes],
    assigned: list[Sequence[int]],
    looks: _Looks,
) -> Iterator[Rendered]:
    endpoint, replicates = study.spec.experiment.endpoint, study.design.spec.replicates
    middle = f',"method":"POST","url":{json_text(endpoint)},"body":'.encode()
    for offset, places in enumerate(assigned):
        number, row_id = chunk.first_row + offset, chunk.row_ids[offset]
        for place in places:
            cell, body = study.design.cells[place], bodies[place, offset]
            digest, condition = sha256_hex(body), cell.condition.number
            for replicate in range(1, replicates + 1):
                name = custom_id(number, condition, replicate, looks.fingerprint)
                line = b'{"custom_id":"' + name.encode() + b'"' + middle + body + b"}\n"
                request = check(line, name, endpoint, cell.template.model)
                weight = None if looks.scale is None else looks.scale.weigh(request["body"], len(body))
                built = Built(name, number, row_id, condition, replicate, digest, 0, 0)
                yield Rendered(built, line, _travels(request), weight)


def check(line: bytes, name: str, endpoint: str, model: str) -> dict[str, Any]:
    """The request, without what the provider would refuse a whole file for. The template was checked before: a failure
    here is a bug.
    """
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
    return request


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


class BuiltFirst(NamedTuple):
    """The first round, and what was there before it, on disk: shards of each, requests, distinct prompts; weights of
    what is asked. personal: the personal data in them; None where nobody looked.
    """

    asked: list[Shard]
    taken: list[Shard]
    requests: int
    distinct: int
    weights: tuple[Group, ...]
    personal: tuple[Finding, ...] | None = None


def build_first(
    study: Study, folder: RunFolder, rows: Rows, fingerprint: str, priors: Sequence[Prior] = ()
) -> BuiltFirst:
    """Write the request files and the maps: of what is asked, and of what `priors` have the final answers to."""
    files.make_folder(folder.requests)
    files.make_folder(folder.responses)
    lint = study.lint()
    scale = Scale(study.spec.experiment.endpoint, exact=not study.target.simulated)
    settled = bool(priors) or study.spec.experiment.duplicates == "share"
    # what is taken over is not weighed: there the lines that are asked are weighed as they find their place
    rendered = _watched(
        folder, rows.count, lines(study, rows, fingerprint, lint=lint, scale=None if settled else scale)
    )
    built = _build_settled(study, folder, rendered, priors, scale) if settled else _build_plain(study, folder, rendered)
    if not built.requests:
        raise SpecError([asks_nobody(study)])
    return built if lint is None else built._replace(personal=lint.findings())


def asks_nobody(study: Study) -> Fault:
    """The fault of a study that asks no row at all."""
    if study.choice:
        cause = f"{study.choice.words()}: no row is left to be asked"
        return Fault(str(study.spec.path), cause, "choose other rows, or more of them")
    return study.spec.fault(
        ("design",),
        "the design leaves no request: no row is asked under any condition",
        "widen `where`, or narrow `exclude`",
    )


def _cutter(study: Study, folder: RunFolder) -> ShardCutter:
    limits = study.spec.experiment.limits
    return ShardCutter(folder, 1, requests=limits.requests_per_batch, bytes_=limits.bytes_per_batch)


def _build_plain(study: Study, folder: RunFolder, rendered: Iterable[list[Rendered]]) -> BuiltFirst:
    """Every request is asked, and gets its place as it is rendered."""
    tally = Tally()
    with MapWriter() as mapped, _cutter(study, folder) as cutter:
        for requests in rendered:
            placed = []
            for built, line, (model, inputs), weight in requests:
                place = cutter.add(line, group=model, inputs=inputs)
                placed.append(built._replace(shard=place.shard, line=place.line))
                if weight is not None:
                    tally.add(weight, shard=place.shard, condition=built.condition, model=model)
            mapped.add(placed)
        shards = cutter.close()
        finished = mapped.finish(folder.map(1), study.target.scope, study.spec.experiment.endpoint)
    return BuiltFirst(shards, [], finished.requests, finished.distinct, tally.groups())


def _build_settled(
    study: Study, folder: RunFolder, rendered: Iterable[list[Rendered]], priors: Sequence[Prior], scale: Scale
) -> BuiltFirst:
    """What is answered already is known only when every request is: lines wait in a scratch file meanwhile."""
    share = study.spec.experiment.duplicates == "share"
    with SettlingWriter() as settling, files.scratch_folder(folder.path) as scratch:
        spool = files.ShardFile(scratch / "lines.jsonl")
        for requests in rendered:
            settling.add([each.built for each in requests])
            for each in requests:
                spool.write(each.line)
        spool.close()
        settling.settle(study.target.scope, study.spec.experiment.endpoint, share=share, finals=finals_of(priors))
        with (
            _cutter(study, folder) as cutter,
            ShardCutter(folder, TAKEN_ROUND, requests=TAKEN_SHARD, bytes_=sys.maxsize) as taken,
            spool.path.open("rb") as handle,
        ):
            weights = _place(settling, handle, cutter, taken, scale)
            asked, kept = cutter.close(), taken.close()
        targets = {round_: folder.map(round_) for round_, shards in ((TAKEN_ROUND, kept), (1, asked)) if shards}
        finished = settling.publish(targets, share=share)
        copy_answers(folder, settling, priors)
    return BuiltFirst(asked, kept, finished.requests, finished.distinct, weights)


def _place(
    settling: SettlingWriter, spooled: BinaryIO, cutter: ShardCutter, taken: ShardCutter, scale: Scale
) -> tuple[Group, ...]:
    """Every leader's line into a file of its round; returns the weights of what is asked."""
    tally = Tally()
    placed: list[Placed] = []
    for decision in settling.decisions():
        line = spooled.readline()
        if not decision.leader:
            continue
        if decision.taken:
            place = taken.add(line, group=str(decision.taken), serves=decision.serves)
            placed.append(Placed(decision.custom_id, TAKEN_ROUND, place.shard, place.line))
        else:
            request = json.loads(line)
            model, inputs = _travels(request)
            place = cutter.add(line, group=model, inputs=inputs, serves=decision.serves)
            placed.append(Placed(decision.custom_id, 1, place.shard, place.line))
            add_line(tally, scale, request, line, place.shard)
        if len(placed) >= CHUNK:
            settling.place(placed)
            placed = []
    settling.place(placed)
    return tally.groups()


def travels_of(line: bytes) -> Travels:
    """What decides where a request line travels."""
    return _travels(json.loads(line))


def _travels(request: Mapping[str, Any]) -> Travels:
    body = request["body"]
    return Travels(str(body.get("model", "")), inputs_of(body) if request["url"] == EMBEDDINGS else 1)


def _watched(folder: RunFolder, rows: int, rendered: Iterator[list[Rendered]]) -> Iterator[list[Rendered]]:
    """The same chunks; after the first one the disk is known to have room for all."""
    for position, requests in enumerate(rendered):
        if position == 0 and requests:
            _check_disk(folder, rows, requests)
        yield requests


def _check_disk(folder: RunFolder, rows: int, first: list[Rendered]) -> None:
    """Refuse before the disk is full, not after."""
    shown = len({each.built.row_number for each in first})
    needed = int(sum(len(each.line) for each in first) / shown * rows * HEADROOM)
    free = files.free_bytes(folder.path)
    if needed > free:
        raise SetupError(
            f"the request files need about {needed / 1e6:,.0f} MB, the disk has {free / 1e6:,.0f} MB free",
            hint="free some space, or move the project to a larger disk",
        )


def built_event(
    round_: int,
    shards: Iterable[Shard],
    *,
    again: Mapping[int, int] | None = None,
    retry: Mapping[str, Any] | None = None,
) -> Event:
    """again: the requests of each shard that have a final outcome already. retry: what was asked for by name."""
    shards, again = list(shards), again or {}
    entries = [
        {"shard": s.number, "requests": s.requests, "bytes": s.bytes, "sha256": s.sha256}
        | ({"lines": s.lines} if s.lines != s.requests else {})
        | ({"again": again[s.number]} if again.get(s.number) else {})
        for s in shards
    ]
    payload: dict[str, Any] = {"requests": sum(shard.requests for shard in shards), "shards": entries}
    return Event("built", payload | ({} if retry is None else {"retry": retry}), step=StepName.BUILD, round=round_)
