"""`batchflow serve`: the local Batch API in the foreground, with simulated or replayed answers."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from batchflow.cli import render
from batchflow.cli.options import Json

StoreFolder = Annotated[
    Path | None,
    typer.Option(help="Folder that keeps files and batches. [default: a temporary one]", show_default=False),
]
FaultPlan = Annotated[Path | None, typer.Option(help="YAML or JSON file of faults to commit, to try a client out.")]
AuditFile = Annotated[Path | None, typer.Option(help="File to write the account of executed rows to, at the end.")]
Speed = Annotated[float, typer.Option(help="How many times as fast the server's clock runs; 86400: a day in a second.")]
Latency = Annotated[
    str | None,
    typer.Option(help="Time that a batch takes, drawn from the seed: 5s..20m. [default: --delay]", show_default=False),
]
Responder = Annotated[str, typer.Option(help="Who answers: simulate, or replay for answers that were recorded.")]
Replay = Annotated[
    list[str] | None,
    typer.Option(help="What to replay: a run's folder, or REQUESTS.jsonl=RESPONSES.jsonl; repeatable."),
]
Refusals = Annotated[float, typer.Option(help="Share of simulated answers that are refusals, 0 to 1.")]
Truncations = Annotated[float, typer.Option(help="Share of simulated answers that are cut off, 0 to 1.")]

serve_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, add_completion=False)


@serve_app.callback()
def serve(  # noqa: PLR0917 - each is an option of the command line
    context: typer.Context,
    store: StoreFolder = None,
    host: Annotated[str, typer.Option(help="Address to listen on; for others than you, set a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 finds a free one.")] = 0,
    info: Annotated[
        Path | None, typer.Option(help="File to write port, pid, token and base URL to, once the server answers.")
    ] = None,
    idle: Annotated[float | None, typer.Option(help="End after this many seconds without a request.")] = None,
    faults: FaultPlan = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other answers.")] = 0,
    delay: Annotated[float, typer.Option(help="Seconds that a batch takes at least.")] = 0.3,
    rows_per_second: Annotated[float, typer.Option(help="The most rows executed per second.")] = 20_000.0,
    audit: AuditFile = None,
    speed: Speed = 1.0,
    latency: Latency = None,
    responder: Responder = "simulate",
    replay: Replay = None,
    refusals: Refusals = 0.0,
    truncations: Truncations = 0.0,
    as_json: Json = False,
) -> None:
    """Run the local Batch API, whose answers are SIMULATED.

    Any OpenAI client can use it. With BATCHFLOW_SERVER_TOKEN set, that key is asked for; else any key is let in and
    sees its own files and batches. With --responder replay, answers come from recordings instead.
    """
    if context.invoked_subcommand is not None:
        return
    from batchflow.server.process import ServeOptions
    from batchflow.server.process import serve as serve_until_told
    from batchflow.server.responding import Responding

    responding = Responding(responder, tuple(replay or ()), refusals, truncations)
    options = ServeOptions(
        store, host, port, info, idle, faults, seed, delay, rows_per_second, audit, speed, latency, responding
    )
    serve_until_told(options, ready=lambda address: _say_ready(address, options, as_json=as_json))


def _say_ready(address: str, options: Any, *, as_json: bool) -> None:
    """Where it is, with a line that can be pasted into a shell; Ctrl-C is for the one that it runs in."""
    from batchflow.server.process import TOKEN_VARIABLE

    simulated = options.responding.responder == "simulate"
    render.note(f"Local Batch API with {'SIMULATED' if simulated else 'REPLAYED'} answers at {address}; Ctrl-C ends it")
    if options.faults is not None:
        render.note(f"Faults are on: it errs as {options.faults} says")
    render.note("To use it, in another terminal:")
    key = f'"${TOKEN_VARIABLE}"' if os.environ.get(TOKEN_VARIABLE) else "any"
    render.note(f"export OPENAI_BASE_URL={shlex.quote(address)} OPENAI_API_KEY={key}")
    if as_json:
        render.emit("serve", {"base_url": address, "pid": os.getpid(), "simulated": simulated})


@serve_app.command()
def audit(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL|STORE]",
            help="Address of a local server, or folder of a store. [default: OPENAI_BASE_URL]",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a local server executed and noticed."""
    from batchflow.errors import UsageError
    from batchflow.server.asking import audit_of

    chosen = target or os.environ.get("OPENAI_BASE_URL")
    if not chosen:
        raise UsageError(
            "serve audit needs a server or a store",
            hint="name the address of a local server, or the folder of its store",
        )
    audited = audit_of(chosen)
    if as_json:
        render.emit("audit", audited)
    else:
        render.show("\n".join(_audit_text(audited)))


def _audit_text(audited: Mapping[str, Any]) -> Iterator[str]:
    executions = audited["executions"]
    yield f"{executions['rows']} rows executed and billed, {executions['faulted']} failed by faults."
    asked = audited["synchronous"]
    by = ", ".join(f"{count} at {endpoint}" for endpoint, count in asked["by_endpoint"].items() if count)
    yield f"{asked['billed']} requests answered at once and billed{f' ({by})' if by else ''}."
    for name, said in (("by_custom_id", "custom_id"), ("by_body", "body")):
        again = executions[name]["more_than_once"]
        yield f"Executed more than once by {said}: {len(again)} (at most {executions[name]['max']} times)."
    yield ""
    yield render.table(["route", "calls"], list(audited["calls"].items()), right=frozenset({1}))
    yield ""
    yield render.table(
        ["batch", "status", "rows executed"],
        [(batch["id"], batch["status"], batch["rows_executed"]) for batch in audited["batches"]],
        right=frozenset({2}),
    )
    yield ""
    if not audited["problems"]:
        yield "No problems seen in the client's requests."
        return
    yield render.table(
        ["problem", "detail", "times"],
        [(seen["problem"], seen["detail"], seen["times"]) for seen in audited["problems"]],
        right=frozenset({2}),
    )
