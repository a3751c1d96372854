"""What a run has come to, as `run --json`, `status --json` and people read it."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from batchflow.cli import render
from batchflow.cost.dollars import usd
from batchflow.engine.run import RunView
from batchflow.errors import BatchflowError
from batchflow.journal.state import RunState
from batchflow.plan.model import Plan
from batchflow.results.account import Account
from batchflow.results.outcome import DESCRIBED, Outcome
from batchflow.spec.endpoints import EMBEDDINGS
from batchflow.steps.spending import spent
from batchflow.steps.summary import State, account_of, batches_accepted, reused, state_of

SAMPLES = 3
NARROW = 24


def run_json(run: RunView, database: Path) -> dict[str, Any]:
    """What a run has come to: the object of `batchflow.run/1` (design.md section 8) but for `up_to_date`."""
    account, plan = account_of(run.state), run.plan
    owed = account.owed.total()
    return {
        "run": plan.run,
        "folder": str(run.folder.path),
        "database": str(database),
        "state": state_of(run.state).value,
        "simulated": plan.simulated,
        "requests": {
            "total": plan.requests,
            "answered": account.answered,
            "failed": plan.requests - owed - account.answered,
            "owed": owed,
            "reused": reused(run.state),
        },
        "outcomes": {kind: count for kind, count in sorted(account.outcomes.items()) if count},
        "batches": batches_accepted(run.state),
        "rounds": run.state.round,
        "lines": _left_aside(account),
        "bad_lines": _bad_lines(run, database, account),
        **money_json(run.state),
        "conditions": _conditions(run),
    }


def run_text(
    run: RunView, database: Path, spec: Path, *, ended: bool, untouched: bool, remote: Sequence[str] = ()
) -> str:
    """The end of a run for people: outcomes, samples, and what to do next. remote: about its files at the provider."""
    account = account_of(run.state)
    marker = render.simulated(really=run.plan.simulated)
    lines = [f"{run.plan.run}{marker}: {_verdict(run, ended=ended, untouched=untouched)}", "", outcome_table(run)]
    if taken := reused(run.state):
        lines += ["", f"{taken:,} of these answers were taken over from earlier runs at no cost."]
    told = [f"{count:,} {word}" for word, count in _left_aside(account).items() if count]
    if told:
        lines += ["", f"Result lines left aside, never loaded: {', '.join(told)}."]
        lines += bad_lines_text(_bad_lines(run, database, account))
    lines += [*spent_text(run), *remote]
    if ended:
        lines += [*_samples(run, database, account), "", f"Results: {database}"]
        lines.append(f"Next: {render.command('results', spec)}    or open the table `results` in DuckDB")
    else:
        lines += ["", f"Next: {render.command('run', spec)}"]
    return "\n".join(lines)


def money_json(state: RunState) -> dict[str, Any]:
    """What a run has cost so far, by its answers, and the tokens of its answers and of its batches."""
    found = spent(state)
    return {
        "cost_usd": rounded(found.cost_usd),
        "usage": {
            "unpriced": found.unpriced,
            "prompt_tokens": found.prompt_tokens,
            "completion_tokens": found.completion_tokens,
            "batches_prompt_tokens": found.billed_prompt,
            "batches_completion_tokens": found.billed_completion,
        },
    }


def _conditions(run: RunView) -> list[dict[str, Any]]:
    """What each condition of a design has cost so far, as far as it was counted apart."""
    paid, names = spent(run.state).conditions, {each.number: each.text for each in run.plan.conditions}
    return [
        {
            "number": number,
            "condition": names[number],
            "unpriced": bill.unpriced,
            "prompt_tokens": bill.prompt_tokens,
            "completion_tokens": bill.completion_tokens,
            "cost_usd": rounded(bill.cost_usd),
        }
        for number, bill in sorted(paid.items())
    ]


def rounded(cost: float | None) -> float | None:
    """US dollars as --json shows them."""
    return None if cost is None else round(cost, 10)


def spent_text(run: RunView) -> list[str]:
    """What a run has cost so far, for people; nothing of a run that is simulated, or that has no answers."""
    found = spent(run.state)
    if run.plan.simulated or not any(shard.collected for shard in run.state.shards() if shard.round):
        return []
    cost = "not known" if found.cost_usd is None else usd(found.cost_usd)
    tokens = f"{found.prompt_tokens:,} input and {found.completion_tokens:,} output tokens"
    lines = ["", f"Cost: {cost}, by the usage that the answers tell ({tokens})."]
    if found.unpriced:
        lines.append(f"Without usage or a known price, and not in it: {render.plural(found.unpriced, 'answer')}.")
    if found.differs:
        billed = f"{found.billed_prompt:,} input and {found.billed_completion:,} output tokens"
        lines.append(
            f"By the provider's own count its batches took {billed}, their answers {found.told_prompt:,} and "
            f"{found.told_completion:,}: the bill may differ."
        )
    return lines


def _left_aside(account: Account) -> dict[str, int]:
    """Result lines that are nobody's outcome; `conflicting` are those of `doubled` that say something else."""
    return {name: getattr(account, name) for name in ("doubled", "conflicting", "unknown", "unreadable")}


def _bad_lines(run: RunView, database: Path, account: Account) -> list[dict[str, Any]]:
    """The first lines that are no results, as far as they are in the tables."""
    if not account.unreadable:
        return []
    from batchflow.sinks.reader import open_reader

    try:
        with open_reader(database) as reader:
            found = reader.bad_lines(run.plan.run, SAMPLES)
    except BatchflowError:
        return []
    return [{"file": each.file, "line": each.line_no, "error": each.error} for each in found]


def bad_lines_text(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The same for people: requests whose answer would stand there are owed."""
    shown = [f"  responses/{each['file']}:{each['line']}: {render.cell(each['error'])}" for each in lines]
    return [*shown, "  All of them: `SELECT * FROM bad_lines` in DuckDB."] if shown else []


def _verdict(run: RunView, *, ended: bool, untouched: bool) -> str:
    account, state = account_of(run.state), state_of(run.state)
    owed = account.owed.total()
    if not ended:
        return "not finished yet; run the same command again to go on."
    if state is State.CANCELLED:
        return f"cancelled, with {render.plural(owed, 'request')} owed; run it again to ask for the rest."
    if state is State.PARTIAL:
        word = f"ended with {render.plural(owed, 'request')} owed after {render.plural(run.state.round, 'round')}"
        return f"{word}; no call was made. `batchflow retry` asks for them again." if untouched else f"{word}."
    head = "up to date, no call was made. " if untouched else ""
    if account.answered == run.plan.requests:
        return f"{head}All {render.plural(account.answered, 'request')} answered."
    asked = render.plural(run.plan.requests, "request")
    return f"{head}{account.answered:,} of {asked} answered, the others have another final outcome."


def outcome_table(run: RunView) -> str:
    """Every request counted once, final outcomes first."""
    account = account_of(run.state)
    rows: list[tuple[str, str, str]] = []
    for counts, word in ((account.final, ""), (account.owed, "owed: ")):
        rows += [(kind, f"{counts[kind]:,}", word + DESCRIBED[Outcome(kind)]) for kind in Outcome if counts.get(kind)]
    rows.append(("total", f"{account.requests:,}", f"{render.plural(run.plan.requests, 'request')} planned"))
    return render.table(("outcome", "requests", "meaning"), rows, right=frozenset({1}))


def _samples(run: RunView, database: Path, account: Account) -> list[str]:
    """A few answers, so that one sees at once whether they are what was meant; other outcomes where there is none."""
    from batchflow.sinks.reader import open_reader

    try:
        with open_reader(database) as reader:
            names = reader.columns(run.plan.run)
            outcome, any_ = names.index("outcome"), not account.answered
            answered = (row for row in reader.rows(run.plan.run) if any_ or row[outcome] == Outcome.ANSWERED)
            rows = list(islice(answered, SAMPLES))
    except BatchflowError:
        return []
    answers = answer_columns(run.plan, names, [row[outcome] for row in rows])
    shown = ("row_id", *design_columns(run.plan, names), "outcome", *answers)
    wide = {"content"} if len(answers) > 1 else set(answers)
    cells = [
        [render.cell(row[names.index(name)], render.WIDEST if name in wide else NARROW) for name in shown]
        for row in rows
    ]
    title = "Sample answers" + render.simulated(really=run.plan.simulated)
    return ["", f"{title}:", render.table(shown, cells)]


def answer_columns(plan: Plan, names: Sequence[str], outcomes: Sequence[str]) -> list[str]:
    """The columns in which a person looks for the answers: the typed ones, where every outcome shown has them."""
    if plan.endpoint == EMBEDDINGS and "embedding" in names:
        return ["embedding"]  # beside an empty content
    typed = [] if plan.answer is None else [column.results for column in plan.answer.columns if column.results in names]
    if plan.answer is not None and plan.answer.schema:
        return typed if set(outcomes) <= {Outcome.ANSWERED.value} else ["content"]
    return [*typed, "content"]  # what was extracted, and out of what


def design_columns(plan: Plan, names: Sequence[str]) -> list[str]:
    """The columns that tell the requests of one row apart."""
    return [name for name in plan.factors if name in names] + ["replicate"] * (plan.replicates > 1)
