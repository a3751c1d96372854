"""`batchflow forget`: delete a run for good."""

import sys
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.options import Json, NamedRunArgument
from batchflow.cli.signals import Interruptible
from batchflow.errors import UsageError

BUSY = "stop that process first (Ctrl-C is harmless: what is at the provider goes on)"


def forget(
    run: NamedRunArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a run for good: its folder and its rows.

    Never one that has a batch at the provider.
    """
    from batchflow.engine.finding import find_run
    from batchflow.engine.forgetting import forget as delete
    from batchflow.engine.forgetting import hold

    target = find_run(run)
    with Interruptible() as moment:
        held = hold(target.folder, busy=BUSY)
        try:
            _agree(held, yes=yes)
            moment.check()
            databases = dict.fromkeys((target.database, target.project.folder / held.run.plan.database))
            rows = delete(held, databases)
        finally:
            held.lock.release()
    render.note(f"Forgot {target.plan.run}: its folder{' and its rows are' if rows else ' is'} gone.")
    if as_json:
        kept = held.kept._asdict()
        render.emit("forget", {"run": target.plan.run, "folder": str(target.folder.path), **kept, "rows": rows})


def _agree(held: Any, *, yes: bool) -> None:
    """Say what would be lost, and what stays elsewhere, and ask."""
    from batchflow.steps.delete import remaining

    plan, (answers, only_here, others) = held.run.plan, held.kept
    marker = render.simulated(really=plan.simulated)
    line = f"Delete {plan.run}{marker} for good: its folder, with every answer in it, and its rows in the database."
    if only_here:
        line += (
            f" {only_here:,} of its {render.plural(answers, 'answer')} are in no other run of this project: they are "
            "lost, and would have to be bought again."
        )
    if others:
        line += (
            f" {render.plural(others, 'request')} of it have another answer in other runs of this project: the answers "
            "here are lost."
        )
    if not answers:
        line += " It holds no answers."
    elif answers > only_here + others:
        which = "Its" if not only_here + others else "The other"
        line += (
            f" {which} {render.plural(answers - only_here - others, 'answer')} are in other runs of this project too."
        )
    if not plan.simulated and (files := sum(1 for _ in remaining(held.run.state))):
        line += (
            f" {render.plural(files, 'file')} of it may still be at the provider, and stay there: a `run` with "
            "`output.delete_remote` deletes them before."
        )
    render.note(line)
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("nobody is there to agree: nothing was deleted", hint="add --yes to delete without asking")
    if not render.ask("Go on?"):
        raise UsageError("not agreed: nothing was deleted")
