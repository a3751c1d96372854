"""What makes an outcome of a result line: the parser of the endpoint that was asked; then, where answers are typed,
what they must look like. One judge for a run, made from its folder alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from batchflow.plan.model import Plan
from batchflow.results.lines import parse
from batchflow.results.outcome import Answer, Outcome


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the lines of one run, all by the same rule. typed: what an answer's text is held against."""

    endpoint: str
    typed: Callable[[Answer], Answer] | None = None

    def __call__(self, record: bytes) -> Answer | None:
        """The answer in a record; None for a line that is no result."""
        answer = parse(record, self.endpoint)
        if answer is None or answer.outcome is not Outcome.ANSWERED or self.typed is None:
            return answer
        return self.typed(answer)


def judge_of(plan: Plan) -> Judge:
    """The judge of a run."""
    if plan.answer is None:
        return Judge(plan.endpoint)
    from batchflow.results.typed import typed  # noqa: PLC0415 - jsonschema_rs only where answers are typed

    return Judge(plan.endpoint, typed(plan.answer))
