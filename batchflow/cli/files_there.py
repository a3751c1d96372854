"""The deck's commands about files at the provider: `list-files`, `delete-file`."""

from batchflow.cli import render
from batchflow.cli.deck import FileId, Limit, Who, Yes, agree, all_of, file_json, moment, service
from batchflow.cli.options import Json
from batchflow.cli.signals import Interruptible
from batchflow.errors import RunBusy, UsageError


def list_files(*, limit: Limit = 20, provider: Who = "openai", as_json: Json = False) -> None:
    """List the files of your account, newest first."""
    asked = service(provider)
    with Interruptible(), asked.connected() as connection:
        found = all_of(connection.file_page, "files", limit)
    if as_json:
        whom = {"host": asked.target.host, "simulated": asked.target.simulated}
        render.emit("list-files", {**whom, "files": [file_json(file) for file in found]})
        return
    if not found:
        render.note(f"no files {asked.where}{asked.marker}")
        return
    rows = [
        (f.id, f.name, f.purpose, "" if f.bytes is None else render.size(f.bytes), moment(f.created_at), f.status)
        for f in found
    ]
    render.show(render.table(("id", "name", "purpose", "size", "created (UTC)", "status"), rows, right=frozenset({3})))


def delete_file(file_id: FileId, *, yes: Yes = False, provider: Who = "openai", as_json: Json = False) -> None:
    """Delete a file at the provider, for good.

    Never the input of a batch that has not ended, or may have been started.
    """
    from batchflow.engine.single import Record, Upload, batches_of

    asked = service(provider)
    file_id = asked.file_id(file_id)
    ask = asked.must_agree(yes=yes)
    host = asked.target.host
    with Interruptible() as moment_, asked.connected() as connection:
        file = asked.must_find_file(connection, file_id)
        with Record.open(asked.root, host, Upload(file)) as record:
            if record.shard.open_intent is not None:
                raise UsageError(
                    f"{file_id}: a batch of it may have been started; nothing was deleted",
                    hint=f"`{asked.command('start-batch', file_id)}` finds out",
                )
            live = [b for b in batches_of(connection, file, record.shard.batches, render.note) if not b.ended]
            if live:
                raise RunBusy(
                    f"{file_id} is the input of {live[0].id} ({live[0].status}); nothing was deleted",
                    hint=f"wait for its end, or `{asked.command('cancel-batch', live[0].id)}` first",
                )
            size = "" if file.bytes is None else f", {render.size(file.bytes)}"
            agree(f"Delete {file_id} ({file.name}{size}) at {host} for good.", ask=ask)
            moment_.check()
            connection.delete_file(file_id)
    render.note(f"Deleted {file_id}{asked.marker}")
    if as_json:
        whom = {"host": host, "simulated": asked.target.simulated}
        render.emit("delete-file", {**whom, "deleted": file_json(file)})
