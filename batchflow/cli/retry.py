"""`batchflow retry`: ask again on purpose, for what the user names."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.advance import Advance, agree, reopened
from batchflow.cli.options import Json, NamedRunArgument
from batchflow.cli.signals import Interruptible
from batchflow.errors import UsageError


def retry(
    run: NamedRunArgument,
    *,
    outcome: Annotated[
        str | None,
        typer.Option(
            "--outcome",
            metavar="KINDS",
            help="Ask again also for these outcomes, with commas between them: refused, truncated, filtered, empty, "
            "invalid, error, answered.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only requests that ask this model.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do what can be done at once, then leave.")] = False,
    as_json: Json = False,
) -> None:
    """Ask again on purpose, for the outcomes that you name.

    In a new round of the same run, for what is owed as well. An answer that comes takes the place of the earlier one
    in the tables; where none comes, the earlier one stands.
    """
    with Interruptible() as moment:
        outcomes = _outcomes(outcome)
        advance = Advance(reopened(run, buys=True, same=True), moment, wait=not no_wait)
        before = advance.view.state.round
        try:
            ended = _carry_out(advance, outcomes, model or "", yes=yes)
        finally:
            advance.release()
        advance.tell(ended=ended, untouched=advance.view is advance.order.planned.run)
        if as_json:
            asked = sum(
                shard.requests for shard in advance.view.state.shards() if shard.round > before
            )  # later rounds of this command included
            render.emit("retry", advance.describe() | {"asked_again": asked})
        status = advance.status(ended=ended)
    sys.exit(status)


def _outcomes(named: str | None) -> Sequence[str]:
    from batchflow.results.outcome import FINAL

    known = [kind.value for kind in FINAL]
    found = [word.strip() for word in (named or "").split(",") if word.strip()]
    strange = [word for word in found if word not in known]
    if strange or (named is not None and not found):
        raise UsageError(
            f"--outcome {named}: there is no final outcome {', '.join(strange)}".rstrip(),
            hint=f"name one or more of {', '.join(known)}, with commas between them; what is owed is asked in any case",
        )
    return found


def _carry_out(advance: Advance, outcomes: Sequence[str], model: str, *, yes: bool) -> bool:
    """Ask again; True if the run has ended."""
    from batchflow.journal.state import Phase
    from batchflow.steps.rounds import find_again

    state = advance.view.state
    if any(shard.phase is not Phase.COLLECTED for shard in state.shards(state.round)):
        _check_unfinished(advance)
        render.note(f"Round {state.round}, which asks again, is not finished: going on with it.")
        return advance.go_on(yes=yes)
    _check_model(advance, model)
    with find_again(advance.view.folder, state, outcomes, model) as again:
        if not again.requests:
            render.note(f"{advance.view.plan.run}: there is nothing to ask again.{_not_named(advance, outcomes)}")
            advance.load()
            return True
        if not advance.order.target.simulated:
            agree(_question(advance, again), yes=yes)
        return advance.ask_again(again)


def _check_unfinished(advance: Advance) -> None:
    state = advance.view.state
    if state.round not in state.retries or state.cancelled:
        raise UsageError(
            f"the run {advance.view.plan.run} is not finished: it is asked again when it has ended",
            hint=f"{render.command('run', advance.order.named)} carries it on",
        )


def _check_model(advance: Advance, model: str) -> None:
    plan = advance.view.plan
    models = plan.models or (plan.model,)
    if model and model not in models:
        raise UsageError(f"--model {model}: no request asks it", hint=f"this run asks {', '.join(models)}")


def _not_named(advance: Advance, outcomes: Sequence[str]) -> str:
    """The final outcomes that could be named, where none was."""
    from batchflow.steps.summary import account_of

    there = [kind for kind, count in sorted(account_of(advance.view.state).final.items()) if count > 0]
    others = [kind for kind in there if kind not in {*outcomes, "answered"}]
    return f" --outcome {','.join(others)} would ask for these." if others else ""


def _question(advance: Advance, again: Any) -> str:
    target, plan = advance.order.target, advance.view.plan
    kinds = [f"{count:,} {kind}" for kind, count in again.outcomes.items()]
    kinds += [f"{count:,} owed ({kind})" for kind, count in again.owed.items()]
    model = again.model or plan.model
    return (
        f"Send {render.plural(again.requests, 'request')} again for {model} to {target.host}: {', '.join(kinds)}. "
        "What has an outcome was paid for once already. The cost is not known in this version."
    )
