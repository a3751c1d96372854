"""What a step is. A Step is free to repeat; a OnceStep costs money and therefore must be able to reconcile.

`perform` may run on an HTTP thread: it talks to the provider and writes files, never to the journal. What happened is
turned into events by the engine, in its main thread.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:  # `status` names steps and makes none
    from batchflow.providers.base import Batch, RemoteFile
    from batchflow.steps.listing import Walk

Task_contra = TypeVar("Task_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class StepName(StrEnum):
    """The steps in the order of the DAG."""

    BUILD = "build"
    UPLOAD = "upload"
    START = "start"
    POLL = "poll"
    COLLECT = "collect"
    LOAD = "load"


class Step(Protocol[Task_contra, Result_co]):
    """A move that may be repeated at no cost."""

    name: StepName

    def perform(self, task: Task_contra) -> Result_co:
        """Do it. Raises ProviderRefused (it did not happen) or ProviderDoubt (it may have)."""


class Found(NamedTuple):
    """It happened: exactly one batch is ours."""

    batch: "Batch"


@dataclass(frozen=True, slots=True)
class Absent:
    """It did not happen, for certain."""


class Unsure(NamedTuple):
    """Neither is certain. hopeless: waiting cannot tell (another key, a list that shows nothing)."""

    reason: str
    hopeless: bool = False


Reconciliation = Found | Absent | Unsure


class Evidence(NamedTuple):
    """What is known about an intent that is open.

    file is the input file as this client sees it now (None: it does not). walks are the list walks since this process
    began to look, in order; known holds every batch id of the journal; settle is in seconds.
    """

    intent: str
    file_id: str
    file: "RemoteFile | None"
    walks: "tuple[Walk, ...]"
    known: frozenset[str]
    settle: float


class OnceStep(Step[Task_contra, Result_co], Protocol):
    """A move that costs money. Its intent is in the journal before `perform` is called, its receipt after."""

    def reconcile(self, evidence: Evidence) -> Reconciliation:
        """Whether the call behind an open intent happened."""
