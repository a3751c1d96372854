"""What makes an outcome of a result line: the parser of the endpoint that was asked; then, where answers are typed,
what they must look like. One judge for a run, made from its folder alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

from batchflow.plan.model import Plan
from batchflow.results.bodies import is_plain
from batchflow.results.lines import parse
from batchflow.results.outcome import Answer, Outcome


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the lines of one run, all by the same rule. typed: what an answer's text is held against; raw: bodies are
    stored.
    """

    endpoint: str
    typed: Callable[[Answer], Answer] | None = None
    raw: bool = False

    def __call__(self, record: bytes) -> Answer | None:
        """The answer in a record; None for a line that is no result."""
        answer = parse(record, self.endpoint)
        if answer is None or answer.outcome is not Outcome.ANSWERED:
            return answer
        if self.typed is not None:
            answer = self.typed(answer)
        return answer._replace(plain=is_plain(record, answer.parsed)) if self.raw and answer.plain else answer


def judge_of(plan: Plan) -> Judge:
    """The judge of a run."""
    if plan.answer is None:
        return Judge(plan.endpoint, raw=plan.raw)
    from batchflow.results.typed import typed  # noqa: PLC0415 - jsonschema_rs only where answers are typed

    return Judge(plan.endpoint, typed(plan.answer), plan.raw)
