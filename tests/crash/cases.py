"""The crash cases: every failpoint with what it takes to get there, random kill moments, and named combinations."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchflow import failpoints
from tests.crash.harness import Study
from tests.zygote import Zygote

LOST_CREATE = {"fault": "lost_reply", "on": "batches.create", "nth": [1]}
LOST_UPLOAD = {"fault": "lost_reply", "on": "files.create", "nth": [2]}
EXPIRY = {"fault": "expire", "nth": [2], "fraction": 0.5}
STUCK = {"fault": "stuck", "at": "in_progress", "nth": [1, 2]}  # what can only be cancelled
LEAVE = ("run", "experiment.yaml", "--yes", "--no-wait")


@dataclass(frozen=True)
class Case:
    """One process after the other is killed at these windows; then the run is finished. before: a command that comes
    first; command: the one that is killed, where it is not a plain run. spec: further keys of the spec.
    """

    name: str
    windows: tuple[str, ...]
    faults: Sequence[dict[str, Any]] = ()
    study: dict[str, Any] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    spec: dict[str, Any] = field(default_factory=dict)


def failpoint_cases() -> Iterator[Case]:
    """One case for each registered crash window."""
    for name in failpoints.NAMES:
        match name:
            case "recovery.before-adopt":
                yield Case(name, (name,), (LOST_CREATE,))
            case "recovery.before-absent":
                yield Case(name, ("start.after-intent", name))
            case "round.before-publish" | "round.after-publish":
                yield Case(name, (name,), (EXPIRY,))
            case "journal.before-append" | "journal.torn-append" | "journal.after-append":
                # the passing that records an intent, a receipt, a collection: three very different moments
                yield Case(name, tuple(f"{name}:{passing}" for passing in (9, 6, 12)))
            case "cancel.after-event" | "cancel.after-call":
                yield Case(name, (name,), (STUCK,), before=LEAVE, command=("cancel", "experiment.yaml"))
            case "forget.before-rows" | "forget.after-rows":
                run = ("run", "experiment.yaml", "--yes")
                yield Case(name, (name,), before=run, command=("forget", "experiment.yaml", "--yes"))
            case "delete.before-call" | "delete.after-call" | "delete.after-event":
                yield Case(name, (f"{name}:2", name), spec={"output": {"delete_remote": True}})
            case _:
                yield Case(name, (name,))


def combinations() -> Iterator[Case]:
    """What one window alone does not show."""
    yield Case(
        "refused queue, then lost reply, while the list lags",
        ("start.after-create:3",),
        (
            {"fault": "token_limit", "batches": 1},
            {"fault": "lost_reply", "on": "batches.create", "nth": [4, 6]},
            {"fault": "list_lag", "seconds": 0.5, "nth": [4, 6]},
        ),
        {"settle": "0.8s", "rows": 9, "in_flight": 3},
    )
    yield Case(
        "every create loses its reply",
        (),
        ({"fault": "lost_reply", "on": "batches.create", "every": 1}, {"fault": "list_lag", "seconds": 0.2}),
        {"settle": "0.5s"},
    )
    yield Case(
        "killed in each create, the list damaged",
        ("start.after-create", "start.after-create", "start.after-create"),
        ({"fault": "list_damaged", "how": "null_data", "every": 2}, LOST_UPLOAD),
    )


def carry_out(case: Case, folder: Path, zygote: Zygote) -> str:
    """Kill at each window, then finish without any manual step; returns a line about it."""
    with Study.make(folder, zygote, faults=case.faults, **case.study) as study:
        reached = 0
        if case.spec:
            study.change(**case.spec)
        if case.before:
            study.run(*case.before)
        for window in case.windows:
            ended = study.run(*case.command, failpoint=window)
            assert ended.status in {-9, 0}, f"{case.name}: {ended.status}\n{ended.stderr}"
            reached += ended.status == -9
        assert reached or not case.windows, f"{case.name} was never reached"
        runs = study.finish()
        return f"killed {reached}x, {runs} more run(s), {study.check_account()}"


def random_faults(source: random.Random) -> list[dict[str, Any]]:
    """Lost replies of create and upload, a lagging list, a damaged one: some of each."""
    faults: list[dict[str, Any]] = [
        {"fault": "lost_reply", "on": "batches.create", "probability": source.choice([0.0, 0.3, 0.6])},
        {"fault": "lost_reply", "on": "files.create", "probability": source.choice([0.0, 0.3])},
        {"fault": "list_damaged", "how": source.choice(["null_data", "error_object", "html"]), "probability": 0.2},
    ]
    if source.random() < 0.5:
        faults.append({"fault": "list_lag", "seconds": 0.2})
    if source.random() < 0.3:
        faults.append({"fault": "token_limit", "batches": 2})
    if source.random() < 0.3:
        faults.append(EXPIRY)
    return faults


def random_case(seed: int, folder: Path, zygote: Zygote) -> str:
    """Killed at random moments, the server too now and then, until it happens to finish."""
    source = random.Random(seed)
    faults = random_faults(source)
    kills = 0
    with Study.make(folder, zygote, faults=faults, settle="0.5s") as study:
        for _ in range(source.randint(1, 4)):
            ended = study.run(kill_after=source.uniform(0.05, 2.5))
            assert ended.status in {-9, 0}, f"seed {seed}: {ended.status}\n{ended.stderr}"
            kills += ended.status == -9
            if source.random() < 0.3:
                study.server.kill9()
                study.server.restart()
        runs = study.finish()
        return f"killed {kills}x, {runs} more run(s), {study.check_account()}"
