"""Write what will be sent: rows and template to the request files of round 1.

Free to repeat until it is published. Crash windows: `build.before-publish` (a nameless folder, swept by the next
command), `build.after-publish` (a run of which nothing was sent).
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final, NamedTuple

from batchflow import files
from batchflow.cost.tally import Group, Tally
from batchflow.cost.weighing import Scale
from batchflow.errors import Fault, SetupError, SpecError
from batchflow.journal.events import Event
from batchflow.plan.folder import RunFolder
from batchflow.plan.lines import body_of
from batchflow.plan.shards import Shard, ShardCutter, condition_of
from batchflow.plan.study import Study
from batchflow.prompts.personal import Finding
from batchflow.sources.first_map import MapWriter
from batchflow.sources.rows import Rows
from batchflow.sources.settling import TAKEN_SHARD, Placed, SettlingWriter
from batchflow.steps.base import StepName
from batchflow.steps.requests import Inspector, Part, Watch, inspectors, parts, unwatched
from batchflow.steps.take import TAKEN_ROUND, Prior, copy_answers, finals_of

CHUNK: Final = 2_000  # lines that find their place at a time
HEADROOM: Final = 1.2  # request files, their map and what comes back beside them


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
    study: Study,
    folder: RunFolder,
    rows: Rows,
    fingerprint: str,
    priors: Sequence[Prior] = (),
    *,
    watch: Watch = unwatched,
) -> BuiltFirst:
    """Write the request files and the maps: of what is asked, and of what `priors` have the final answers to."""
    files.make_folder(folder.requests)
    files.make_folder(folder.responses)
    lint = study.lint()
    scale = Scale(study.spec.experiment.endpoint, exact=not study.target.simulated)
    settled = bool(priors) or study.spec.experiment.duplicates == "share"
    # what is taken over is not weighed: there the lines that are asked are weighed as they find their place
    built_parts = parts(study, rows, fingerprint, lint=lint, scale=None if settled else scale, watch=watch)
    rendered = _watched(folder, rows.count, built_parts)
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


def _build_plain(study: Study, folder: RunFolder, rendered: Iterable[Part]) -> BuiltFirst:
    """Every request is asked, and gets its place as it is rendered."""
    tally, design = Tally(), study.design
    with (
        MapWriter(folder.rows, replicates=design.spec.replicates, each=design.each) as mapped,
        _cutter(study, folder) as cutter,
    ):
        for part in rendered:
            mapped.add(part.lines.names, part.hashes)
            for model, start, stop in part.runs():
                place = start
                for span in cutter.add_all(part.lines.part(start, stop), group=model, inputs=part.inputs[start:stop]):
                    mapped.place([span])
                    for weight, condition, times in part.weighed(place, place + span.lines):
                        tally.add(weight, shard=span.shard, condition=condition, model=model, times=times)
                    place += span.lines
        shards = cutter.close()
        finished = mapped.finish(folder.map(1), study.target.scope, study.spec.experiment.endpoint)
    return BuiltFirst(shards, [], finished.requests, finished.distinct, tally.groups())


def _build_settled(
    study: Study, folder: RunFolder, rendered: Iterable[Part], priors: Sequence[Prior], scale: Scale
) -> BuiltFirst:
    """What is answered already is known only when every request is: lines wait in a scratch file meanwhile."""
    share = study.spec.experiment.duplicates == "share"
    with SettlingWriter(folder.rows) as settling, files.scratch_folder(folder.path) as scratch:
        spool = files.SpoolFile(scratch / "lines.jsonl")
        for part in rendered:
            settling.add(part.lines.names, part.hashes)
            spool.write(part.lines.joined())
        spool.close()
        settling.settle(study.target.scope, study.spec.experiment.endpoint, share=share, finals=finals_of(priors))
        with (
            _cutter(study, folder) as cutter,
            ShardCutter(folder, TAKEN_ROUND, requests=TAKEN_SHARD, bytes_=sys.maxsize) as taken,
            spool.path.open("rb") as handle,
        ):
            weights = _place(settling, handle, cutter, taken, inspectors(study, scale))
            asked, kept = cutter.close(), taken.close()
        targets = {round_: folder.map(round_) for round_, shards in ((TAKEN_ROUND, kept), (1, asked)) if shards}
        finished = settling.publish(targets, share=share)
        copy_answers(folder, settling, priors)
    return BuiltFirst(asked, kept, finished.requests, finished.distinct, weights)


def _place(
    settling: SettlingWriter,
    spooled: BinaryIO,
    cutter: ShardCutter,
    taken: ShardCutter,
    looks: Mapping[int, Inspector],
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
            number = condition_of(decision.custom_id)
            model, ((weight, inputs),) = looks[number].model, looks[number].look([body_of(line)])
            place = cutter.add(line, group=model, inputs=inputs, serves=decision.serves)
            placed.append(Placed(decision.custom_id, 1, place.shard, place.line))
            if weight is not None:
                tally.add(weight[0], shard=place.shard, condition=number, model=model)
        if len(placed) >= CHUNK:
            settling.place(placed)
            placed = []
    settling.place(placed)
    return tally.groups()


def _watched(folder: RunFolder, rows: int, rendered: Iterator[Part]) -> Iterator[Part]:
    """The same; after the first requests the disk is known to have room for all."""
    known = False
    for part in rendered:
        if part.requests and not known:
            _check_disk(folder, rows, part)
            known = True
        yield part


def _check_disk(folder: RunFolder, rows: int, first: Part) -> None:
    """Refuse before the disk is full, not after."""
    shown = len(set(first.offsets))
    needed = int(sum(first.lines.sizes) / shown * rows * HEADROOM)
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
