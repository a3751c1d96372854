"""`batchflow cancel`: end the open batches of a run, and keep what they have answered."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from batchflow import failpoints
from batchflow.cli import render
from batchflow.cli.advance import Advance, reopened
from batchflow.cli.options import Json, NamedRunArgument
from batchflow.cli.signals import Interruptible

BUSY = "stop that process first (Ctrl-C is harmless: what is at the provider goes on), then cancel"


def cancel(
    run: NamedRunArgument,
    *,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Ask the batches to end and leave; fetch their answers later.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End the open batches of a run; keep their answers.

    What they have answered by the time they end is billed, fetched and loaded. Nothing new is sent, and nothing is
    lost: `run` asks before it goes on with the rest.
    """
    with Interruptible() as moment:
        advance = Advance(reopened(run, buys=False, busy=BUSY), moment, wait=not no_wait)
        try:
            ended = _carry_out(advance)
        finally:
            advance.release()
        if as_json:
            render.emit("cancel", advance.describe() | {"cancelled": _described(_bill(advance))})
        status = advance.status(ended=ended)
    sys.exit(status)


def _carry_out(advance: Advance) -> bool:
    """Cancel; True if nothing is open any more."""
    from batchflow.journal.events import Event
    from batchflow.steps.summary import State, state_of

    state = advance.view.state
    if not state.sent:
        render.note(f"{advance.view.plan.run}: nothing of it was sent, there is nothing to cancel.")
        _name_open(advance)
        return True
    if state_of(state) is not State.IN_PROGRESS:
        render.note(f"{advance.view.plan.run}: nothing of it is open, there is nothing to cancel.")
        _name_open(advance)
        advance.load()
        advance.tell(ended=True, untouched=True)
        return True
    render.note(_warning(advance))
    flying = sum(1 for _ in state.in_flight())
    first = () if state.cancelled else (Event("cancel", {"batches": flying}, round=state.round),)
    ended = advance.drive(buys=False, first=first, then=lambda: failpoints.hit("cancel.after-event"))
    if ended:
        render.note(_account(advance))
        advance.tell(ended=True)
    else:
        named = render.command("cancel", advance.order.named)
        render.note(f"The batches are asked to end, which may take the provider 10 minutes and more.\n\nNext: {named}")
    return ended


def _name_open(advance: Advance) -> None:
    """The other runs of this study that could have been meant."""
    from batchflow.engine.neighbours import open_elsewhere
    from batchflow.plan.project import Project

    for other in open_elsewhere(Project(advance.order.project), advance.view):
        batches = sum(1 for _ in other.state.in_flight())
        opened = render.plural(batches, "open batch", "open batches")
        cancels = render.command("cancel", other.folder.path)
        render.note(f"Another run of this study has {opened}: {cancels}")


def _warning(advance: Advance) -> str:
    """What is cancelled, and what that means."""
    from batchflow.journal.state import Phase

    state, target = advance.view.state, advance.order.target
    shards = list(state.shards(state.round))
    flying = [shard for shard in shards if shard.phase in {Phase.POLL, Phase.DOUBT}]
    waiting = sum(shard.lines for shard in shards if shard.phase in {Phase.UPLOAD, Phase.START, Phase.REJECTED})
    requests = render.plural(sum(shard.lines for shard in flying), "request")
    marker = render.simulated(really=advance.view.plan.simulated)
    line = f"Cancelling {render.plural(len(flying), 'batch', 'batches')} with {requests} at {target.host}{marker}. "
    line += "What is answered by the time they end is billed and kept; the rest has to be asked again to get an answer."
    return line + (f" {render.plural(waiting, 'request')} not sent yet will not be sent." if waiting else "")


def _bill(advance: Advance) -> Any:
    from batchflow.steps.billing import Bill, bill_of_cancelled

    state = advance.view.state
    return bill_of_cancelled(advance.view.folder, state) if state.cancelled else Bill()


def _described(bill: Any) -> dict[str, Any]:
    """The same for --json."""
    from batchflow.cli.report import rounded

    return asdict(bill) | {"cost_usd": rounded(bill.cost_usd)}


def _account(advance: Advance) -> str:
    """What the cancelled batches have cost."""
    bill = _bill(advance)
    batches = render.plural(bill.batches, "batch", "batches")
    if not bill.batches:
        return "No batch of it was open."
    simulated = advance.view.plan.simulated
    return (
        f"{batches} ended: {bill.answered:,} of {render.plural(bill.requests, 'request')} answered"
        f"{'' if simulated else ' and billed'}, with {bill.prompt_tokens:,} prompt tokens and "
        f"{bill.completion_tokens:,} completion tokens{_money(bill, simulated=simulated)}."
    )


def _money(bill: Any, *, simulated: bool) -> str:
    from batchflow.cost.dollars import usd

    if simulated:
        return f"{render.simulated(really=True)}: nothing is paid"
    if bill.cost_usd is None:
        return ": what they cost is not known, without usage or a known price"
    unpriced = f", and {render.plural(bill.unpriced, 'answer')} without usage or a known price" if bill.unpriced else ""
    return f": {usd(bill.cost_usd)} by their usage{unpriced}"
