"""Every path that is measured, with its limit, what its ratio must reach and what it aims at."""

import shutil
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Final

from benchmarks import fake_api, server
from benchmarks.lab import SMALL, Figures, Lab
from benchmarks.measuring import NOTHING, PYTHON, Program, run
from benchmarks.studies import DECK, ROOT, responses, shards

MB: Final = 1_000_000
TIMES: Final = 5  # transfers in one process


@dataclass(frozen=True)
class Measured:
    """One row of the report. notes: what its figures do not show; rows: how many were measured, where that is not as
    many as were asked for; 0 where the path has none.
    """

    figures: Figures
    notes: tuple[str, ...] = ()
    rows: int | None = None


@dataclass(frozen=True)
class Case:
    """A path of ours. must, aim: the ratio at a million rows, None where it is only reported. quick: rows of the quick
    form, 0 where it has none; gross: the net ratio there above which something is badly wrong. net: the ratio that
    counts is that without start-up, because another program's import is most of what the process does.
    """

    name: str
    title: str
    limit: str
    must: float | None
    aim: float | None
    quick: int
    gross: float
    measure: Callable[[Lab, int], Measured]
    net: bool = False


def _rewrite(folder: Path) -> Program:
    return Lab.limit("rewrite", folder)


def build(lab: Lab, rows: int) -> Measured:
    folder, small = lab.planned("plain", rows), lab.planned("plain", SMALL)
    figures = lab.compare(lab.plan(folder), _rewrite(folder), bases=(lab.plan(small), _rewrite(small)))
    size = sum(path.stat().st_size for path in shards(folder))
    return Measured(figures, (f"{rows:,} rows, {size / MB:,.0f} MB of request lines",))


def build_logic(lab: Lab, rows: int) -> Measured:
    return _build_beside_plain(lab, "logic", rows)


def build_factors(lab: Lab, rows: int) -> Measured:
    return _build_beside_plain(lab, "factors", rows)


def _build_beside_plain(lab: Lab, variant: str, rows: int) -> Measured:
    folder, plain = lab.planned(variant, rows), lab.planned("plain", rows)
    small, small_plain = lab.planned(variant, SMALL), lab.planned("plain", SMALL)
    bases = (lab.plan(small), lab.plan(small_plain))
    figures = lab.compare(lab.plan(folder), lab.plan(plain), bases=bases)
    lab.drop(folder)
    return Measured(figures)


def _load_against_scan(lab: Lab, variant: str, rows: int) -> Measured:
    folder, small = lab.answered(variant, rows), lab.answered(variant, SMALL)
    bases = (lab.load(small), Lab.limit("scan", small))
    figures = lab.compare(lab.load(folder), Lab.limit("scan", folder), bases=bases)
    size = sum(path.stat().st_size for path in responses(folder))
    return Measured(figures, (f"{rows:,} rows, {size / MB:,.0f} MB of result lines",))


def load(lab: Lab, rows: int) -> Measured:
    return _load_against_scan(lab, "plain", rows)


def load_raw(lab: Lab, rows: int) -> Measured:
    found = _load_against_scan(lab, "raw", rows)
    lab.drop(lab.study("raw", rows, mark="-answered"))
    return found


def load_typed(lab: Lab, rows: int) -> Measured:
    """The same answers, in a study that makes columns of them and in one that does not."""
    typed, plain = lab.answered("typed", rows), lab.answered("object", rows)
    small = (lab.load(lab.answered("typed", SMALL)), lab.load(lab.answered("object", SMALL)))
    figures = lab.compare(lab.load(typed), lab.load(plain), bases=small)
    lab.drop(typed)
    lab.drop(plain)
    return Measured(figures)


def load_bad(lab: Lab, rows: int) -> Measured:
    bad, clean = lab.answered("plain", rows, bad=True), lab.answered("plain", rows)
    small = (lab.load(lab.answered("plain", SMALL, bad=True)), lab.load(lab.answered("plain", SMALL)))
    figures = lab.compare(lab.load(bad), lab.load(clean), bases=small)
    files = len(shards(bad))
    lab.drop(bad)
    return Measured(figures, (f"{files} files",))


def parquet(lab: Lab, rows: int) -> Measured:
    folder, small = lab.loaded("plain", rows), lab.loaded("plain", SMALL)

    def pair(study: Path) -> tuple[Program, Program]:
        ours = lab.batchflow(study, "results", ".", "--output", str(lab.place / "ours.parquet"))
        return ours, Lab.limit("copy_view", study, lab.place / "limit.parquet")

    return Measured(lab.compare(*pair(folder), bases=pair(small)))


def formats(lab: Lab, rows: int) -> Measured:
    """Peak memory of every other format of `results`, for two sizes; the figures are those of csv."""
    small, large = lab.loaded("plain", rows // 10), lab.loaded("plain", rows)
    notes, found = [], {}
    for form in ("csv", "json", "jsonl"):
        target = str(lab.place / f"out.{form}")
        programs = [lab.batchflow(study, "results", ".", "--output", target) for study in (large, small)]
        found[form] = lab.compare(*programs, rounds=1)
        ratio = found[form].ours.memory / found[form].limit.memory
        notes.append(f"{form} {found[form].ours.memory:.0f} MB, {ratio:.2f} of a tenth")
    return Measured(found["csv"], tuple(notes))


def no_op(lab: Lab, rows: int) -> Measured:
    folder = lab.loaded("plain", rows)
    ours = lab.batchflow(folder, "run", "experiment.yaml", "--json")
    run(ours)
    return Measured(lab.compare(ours, Program(NOTHING)))


def journal_event(lab: Lab, rows: int) -> Measured:
    events = max(2_000, min(20_000, rows // 10))
    run(lab.ours("append", lab.place, 10))
    size = len((lab.place / "appended.jsonl").read_bytes().splitlines()[-1]) + 1
    bases = (lab.ours("append", lab.place, 1), Lab.limit("sync", lab.place, 1, size))
    figures = lab.compare(
        lab.ours("append", lab.place, events), Lab.limit("sync", lab.place, events, size), bases=bases
    )
    return Measured(figures, (f"{events:,} events of {size} bytes, each durable before the next",), rows=0)


def journal_fold(lab: Lab, rows: int) -> Measured:
    events = min(80_000, rows)
    path = lab.place / "long.jsonl"
    path.unlink(missing_ok=True)
    run(lab.ours("write_journal", path, events))
    figures = lab.compare(lab.ours("fold", path), Lab.limit("read", path))
    return Measured(figures, (f"{events:,} events, {path.stat().st_size / MB:.0f} MB",), rows=0)


def poll(lab: Lab, rows: int) -> Measured:
    batches, ticks = max(1_000, min(10_000, rows)), 5

    def pages(port: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/count") as reply:
            return int(loads(reply.read())["pages"])

    with fake_api.serving(batches) as port:
        before = pages(port)
        run(lab.ours("poll", port, 1, batches))
        asked = pages(port) - before
        bases = (lab.ours("poll", port, 0, batches), Lab.limit("list_pages", port, 0))
        programs = (lab.ours("poll", port, ticks, batches), Lab.limit("list_pages", port, ticks))
        figures = lab.compare(*programs, bases=bases)
    return Measured(figures, (f"{batches:,} open batches, {ticks} ticks, {asked} requests a tick",), rows=0)


def _transfer_size(rows: int) -> int:
    return 200 * MB if rows >= MB else 50 * MB


def upload(lab: Lab, rows: int) -> Measured:
    size = _transfer_size(rows)
    large, small = lab.place / "large.bin", lab.place / "small.bin"
    with large.open("wb") as handle:
        for _ in range(size // MB):
            handle.write(b"x" * MB)
    small.write_bytes(b"x")
    with fake_api.serving(0) as port:
        bases = (lab.ours("upload", port, small, 1), Lab.limit("upload", port, small, 1))
        programs = (lab.ours("upload", port, large, TIMES), Lab.limit("upload", port, large, TIMES))
        figures = lab.compare(*programs, bases=bases)
    return Measured(figures, (f"{TIMES} times {size // MB} MB", *_growth(figures)), rows=0)


def download(lab: Lab, rows: int) -> Measured:
    size, target = _transfer_size(rows), lab.place / "downloaded.bin"
    with fake_api.serving(0) as port:
        bases = (lab.ours("download", port, 1, target, 1), Lab.limit("download", port, 1, target, 1))
        programs = (lab.ours("download", port, size, target, TIMES), Lab.limit("download", port, size, target, TIMES))
        figures = lab.compare(*programs, bases=bases)
    return Measured(figures, (f"{TIMES} times {size // MB} MB", *_growth(figures)), rows=0)


def _growth(figures: Figures) -> tuple[str, ...]:
    """How much more memory the large thing takes."""
    assert figures.ours_base is not None
    return (f"memory grows by {figures.ours.memory - figures.ours_base.memory:.0f} MB (at most 10)",)


def _deck(lab: Lab) -> Path:
    folder = lab.place / "image-appeal"
    if not folder.exists():
        shutil.copytree(DECK, folder, ignore=shutil.ignore_patterns("runs", "*.duckdb*"))
        run(lab.batchflow(folder, "run", "experiment.yaml"))
    return folder


def _start(lab: Lab, *words: str) -> Measured:
    program = lab.batchflow(_deck(lab), *words)
    run(program)  # compiles what was not compiled yet
    return Measured(lab.compare(program, Program(NOTHING), rounds=lab.rounds * 2), rows=0)


def start_help(lab: Lab, rows: int) -> Measured:
    del rows
    return _start(lab, "--help")


def start_validate(lab: Lab, rows: int) -> Measured:
    del rows
    return _start(lab, "validate", "experiment.yaml")


def start_status(lab: Lab, rows: int) -> Measured:
    del rows
    return _start(lab, "status")


def local_server(lab: Lab, rows: int) -> Measured:
    rows = min(rows, 50_000)
    return Measured(*server.measure(lab, lab.planned("plain", rows), rows), rows=rows)


def _rival(lab: Lab, name: str, rows: int) -> Measured:
    folder, small = lab.planned("plain", rows), lab.planned("plain", SMALL)

    def theirs(study: Path) -> Program:
        words = (name, str(study / "personas.csv"), str(ROOT / "projects/image-appeal/prompt.json"))
        return Program((PYTHON, "-m", "benchmarks.rivals", *words, str(study / "rival.jsonl")))

    figures = lab.compare(lab.plan(folder), theirs(folder), bases=(lab.plan(small), theirs(small)))
    lines = sum(1 for _ in (folder / "rival.jsonl").open("rb"))
    speeds = [rows / usage.cpu for usage in (figures.ours, figures.limit)]
    told = f"rows per CPU second: ours {speeds[0]:,.0f}, theirs {speeds[1]:,.0f} ({speeds[0] / speeds[1]:.2f} times)"
    return Measured(figures, (told, f"rows that they lose: {rows - lines:,} of {rows:,}"), rows=rows)


def rival_deck(lab: Lab, rows: int) -> Measured:
    return _rival(lab, "deck", min(rows, 200_000))


def rival_loop(lab: Lab, rows: int) -> Measured:
    return _rival(lab, "sdk_loop", min(rows, 200_000))


_BUILT: Final = "rewrite the same request files, sha256"
_SCAN: Final = "DuckDB reads the same lines"
_BARE: Final = "`python -c pass`"

CASES: Final = (
    Case("build", "build, plain slots (`plan`)", _BUILT, 3.0, 2.2, 20_000, 45, build),
    Case("build-logic", "build, slots with logic", "build, plain slots", 2.0, 1.2, 20_000, 4, build_logic),
    Case(
        "build-factors",
        "build, factors and replicates",
        "build, as many plain rows",
        1.2,
        1.0,
        20_000,
        3,
        build_factors,
    ),
    Case("rival-deck", "build", "the deck's way", None, None, 0, 0, rival_deck),
    Case("rival-loop", "build", "a plain SDK loop", None, None, 0, 0, rival_loop),
    Case("load", "load (`load --rebuild`)", _SCAN, 5, 4, 5_000, 35, load),
    Case("load-raw", "load, `output.raw: true`", _SCAN, 9, 7, 0, 0, load_raw),
    Case("load-typed", "load, typed answers", "load without the columns", 1.5, 1.2, 0, 0, load_typed),
    Case("load-bad", "load, one bad line in each file", "load of clean files", 1.5, 1.1, 5_000, 3, load_bad),
    Case("no-op", "`run` of a finished run", _BARE, 60, 25, 5_000, 100, no_op),
    Case("event", "durable journal event", "write + fdatasync", 3, 2, 20_000, 6, journal_event),
    Case("fold", "fold of a journal", "reading the file", None, None, 8_000, 20, journal_fold),
    Case("poll", "one look at all open batches", "raw list pages", 4, 1.5, 2_000, 16, poll, net=True),
    Case("upload", "upload", "`http.client`", 3.5, 2.5, 10_000, 10, upload, net=True),
    Case("download", "download", "`http.client`", 3.5, 2.5, 10_000, 10, download, net=True),
    Case("help", "`--help`", _BARE, 8, 6, 1, 20, start_help),
    Case("validate", "`validate` of the deck's study", _BARE, 18, 14, 1, 70, start_validate),
    Case("status", "`status`", _BARE, 15, 13, 1, 30, start_status),
    Case("parquet", "`results --format parquet`", "DuckDB COPY of the view", 1.5, 1.1, 5_000, 5, parquet),
    Case("formats", "`results`, other formats", "a tenth of the rows", None, None, 0, 0, formats),
    Case("server", "local server, one batch", "read + write the same bytes", None, None, 0, 0, local_server),
)
