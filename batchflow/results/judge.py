"""What makes an outcome of a result line: the parser of the endpoint that was asked. One judge for a run, made from its
folder alone.
"""

from dataclasses import dataclass

from batchflow.plan.model import Plan
from batchflow.results.lines import parse
from batchflow.results.outcome import Answer


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the lines of one run, all by the same rule."""

    endpoint: str

    def __call__(self, record: bytes) -> Answer | None:
        """The answer in a record; None for a line that is no result."""
        return parse(record, self.endpoint)


def judge_of(plan: Plan) -> Judge:
    """The judge of a run."""
    return Judge(plan.endpoint)
