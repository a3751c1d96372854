"""The plan of a run as a page for people who do not program: an ethics board, a co-author. Derived from the run's
folder alone, so that the same run gives the same page; it decides nothing.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from batchflow import files
from batchflow.cost.dollars import usd
from batchflow.cost.expected import Interval
from batchflow.cost.forecast import CostForecast
from batchflow.errors import escape_controls, redact
from batchflow.journal.state import RunState, ShardState
from batchflow.plan.folder import RunFolder
from batchflow.plan.model import Plan
from batchflow.plan.target import LOOPBACK
from batchflow.prompts.reading import readable
from batchflow.sources.choice import RowChoice
from batchflow.sources.maps import count_conditions
from batchflow.sources.rows import Rows
from batchflow.steps import markdown as md
from batchflow.steps.expiry import in_words, of_request_file
from batchflow.steps.take import TAKEN_ROUND

SAMPLES: Final = 3
SHOWN: Final = 40  # rows of a table on the page
OPENAI_HOST: Final = "api.openai.com"
_OPENAI_KEEPS: Final = (
    "by OpenAI's documentation, a request file is deleted 30 days after its upload, and a file of answers 30 days "
    "after its batch has completed, unless they are deleted before. What else OpenAI keeps, such as logs, and for how "
    "long, is a matter of its terms and your contract: batchflow does not know it."
)


def review(folder: RunFolder, plan: Plan, state: RunState, cost: CostForecast | None) -> bytes:
    """The page as UTF-8. cost: of what the plan asks; None where nothing is paid.

    It holds a few prompts with cells of the table, but no key and nothing that a reader's
    program would execute.
    """
    parts = [*_study(plan), *_leaves(plan), *_design(folder, plan), *_sizes(plan, state), *_cost(cost)]
    parts += [*_evidence(folder, plan, state), *_samples(folder, plan, state)]
    return redact(escape_controls("\n".join(parts) + "\n")).encode("utf-8", "backslashreplace")


def _study(plan: Plan) -> Iterator[str]:
    yield f"# Review: {md.text(plan.experiment)}"
    yield from ("", f"The plan of the run {md.code(plan.run)}, as it was built before anything was sent.", "")
    if plan.simulated:
        yield "**SIMULATED**: the local provider answers. Nothing leaves this machine, and no answer is a model's.\n"
    rows = [("what the study is about", md.text(plan.description))] if plan.description else []
    if plan.sample is not None:
        chosen = RowChoice(**{**plan.sample, "by": tuple(plan.sample["by"])})
        rows.append(("rows that are asked", md.text(chosen.words())))
    rows += [
        ("planned", plan.created_at),
        ("asks", f"{md.text(plan.model)} at {md.code(plan.host + plan.endpoint)} (provider {md.text(plan.provider)})"),
        ("table", f"{md.code(plan.source.path)}, {plan.source.rows:,} rows"),
        ("version of this study's files", md.code(plan.git_commit) if plan.git_commit else "not in a repository"),
        ("batchflow", md.text(plan.versions.get("batchflow", "not recorded"))),
    ]
    yield md.table(("", ""), rows)


def _leaves(plan: Plan) -> Iterator[str]:
    yield from ("", "## What leaves this machine", "")
    if plan.simulated:
        yield "Nothing. To another provider, what is listed here would be sent.\n"
    else:
        there = "a server on this machine" if plan.host in LOOPBACK else "over an encrypted connection (HTTPS)"
        yield f"To {md.code(plan.host)} and nobody else, {there}:\n"
    yield "- the text of the prompt, with its inserts and the levels of the design, and the settings of the model;"
    yield f"- cells of the table: {_columns(plan, sent=True)};"
    yield "- per request an id made of row number, condition, replicate and a hash, such as"
    yield f"  {md.code('0000123-1-1-' + plan.fingerprint[:8])}: no cell of the table is in it;"
    yield f"- per file the name of the run ({md.code(plan.run)}), the file's number and hash, a random number."
    yield from ("", f"Stays here, and is joined to the answers here: {_columns(plan, sent=False)}.", "")
    yield "If a prompt names the address of a picture or file, the provider fetches it from there.\n"
    yield f"How long the provider keeps it: {_kept(plan)}"
    yield from _told_to_forget(plan)
    yield from ("", *_personal(plan))


def _personal(plan: Plan) -> Iterator[str]:
    """What the prompts hold of personal data, as far as it has a form that can be looked for."""
    if plan.personal is None:
        yield "Personal data was not looked for (`data.lint` is false, or an older version planned this run)."
        return
    found = [f"- {md.text(finding.words())}" for finding in plan.personal]
    yield "Personal data: the prompts were searched for e-mail addresses, phone numbers and numbers of accounts, cards"
    yield f"and persons; not for names and other words that tell who somebody is. {'Found:' if found else 'None.'}"
    yield from ("", *found) if found else ()


def _columns(plan: Plan, *, sent: bool) -> str:
    if plan.columns_sent is None:
        return "not recorded by the version that planned this run"
    names = [column.name for column in plan.columns if (column.name in plan.columns_sent) == sent]
    return ", ".join(map(md.code, names)) or "no column of the table"


def _kept(plan: Plan) -> str:
    if plan.simulated:
        return "it has nothing. Its store is part of the run's folder."
    if plan.host == OPENAI_HOST:
        return _OPENAI_KEEPS
    return (
        f"batchflow does not know it for {md.code(plan.host)}. Ask who runs it: for how long request files, files of "
        "answers and logs are kept, and whether they are used to train models."
    )


def _told_to_forget(plan: Plan) -> Iterator[str]:
    """What the study has chosen about the files there."""
    if plan.expires_after is not None:
        requests, answers = of_request_file(plan.expires_after) or 0, plan.expires_after
        yield f"\nIt is told to delete a request file {in_words(requests)} after its upload, and a file of answers"
        yield f"{in_words(answers)} after it was written (`output.expires_after`). What it says of that is recorded."
    if plan.delete_remote:
        yield "\nWhen the run has ended, and its answers are on this machine, its request files and files of answers"
        yield "are deleted there (`output.delete_remote`); what was deleted, and what was not, is recorded."
    if plan.expires_after is None and not plan.delete_remote:
        yield "\nThe study asks for no earlier deletion (`output.expires_after`, `output.delete_remote`)."


def _design(folder: RunFolder, plan: Plan) -> Iterator[str]:
    yield from ("", "## Design", "")
    counts = count_conditions(folder.first_maps())
    times = "once" if plan.replicates == 1 else f"{plan.replicates} times"
    if not plan.conditions:
        yield f"Every row is asked {times}; nothing varies."
        return
    yield f"What varies: {', '.join(map(md.code, plan.factors))}. A row is asked {times} under each condition it has.\n"
    cells = [(each, counts[each.number]) for each in plan.conditions if each.number in counts]
    rows = [(md.code(each.text), f"{count.rows:,}", f"{count.requests:,}") for each, count in cells]
    yield md.table(("condition", "rows", "requests"), rows[:SHOWN])
    if len(rows) > SHOWN:
        yield f"\n… and {len(rows) - SHOWN:,} more conditions."


def _sizes(plan: Plan, state: RunState) -> Iterator[str]:
    asked, taken = _shards(state, 1), _shards(state, TAKEN_ROUND)
    yield from ("", "## Sizes", "")
    rows = [
        ("requests", f"{plan.requests:,}"),
        ("of these, different prompts", f"{plan.distinct:,}"),
        ("new: asked by this run", f"{sum(shard.requests for shard in asked):,}"),
        ("taken over: answered by an earlier run, not asked again", f"{sum(shard.requests for shard in taken):,}"),
        ("request files", f"{len(asked):,}"),
        ("bytes in them", f"{sum(shard.bytes for shard in asked):,}"),
    ]
    yield md.table(("", ""), rows)
    yield "\nA request that fails for a passing reason is asked again; that is in none of these numbers."


def _cost(cost: CostForecast | None) -> Iterator[str]:
    yield from ("", "## Cost", "")
    if cost is None:
        yield "Nothing: the local provider answers, and no answer is a model's."
        return
    if not cost.requests:
        yield "Nothing: every request was answered by an earlier run."
        return
    how = "counted exactly" if cost.counted == "exact" else "estimated: a quarter of their bytes"
    nobody = "not known"
    rows = [
        ("requests that are paid for", f"{cost.requests:,}"),
        ("tokens (pieces of words) that are sent", f"{cost.input_tokens:,}, {how}"),
        ("tokens that are sent at most", nobody if cost.input_bound is None else f"{cost.input_bound:,}"),
        ("tokens of the answers at most", nobody if cost.output_bound is None else f"{cost.output_bound:,}"),
        ("**cost at most**", nobody if cost.bound_usd is None else f"**{usd(cost.bound_usd, up=True)}**"),
        ("what is sent costs about, by that count", nobody if cost.input_usd is None else usd(cost.input_usd)),
        ("the same without a batch, at most", nobody if cost.single_usd is None else usd(cost.single_usd, up=True)),
    ]
    yield md.table(("", ""), [*rows, *_expected(cost)])
    yield ""
    for price in cost.prices:
        if price.source is None:
            yield f"- {md.code(price.model)}: no price is known (`prices` in the experiment file can say it)."
            continue
        of = f"{md.text(price.source)}, of {price.as_of}"
        full = "" if price.batch_known else " No price of batches is known; this is the full one."
        yield f"- {md.code(price.model)}: ${price.input:g} for a million tokens sent, ${price.output:g} for a million"
        yield f"  tokens answered ({of}).{full}"
    yield "\nWhat has been paid in the end stands in the table `runs`, and in `status`."


def _expected(cost: CostForecast) -> list[tuple[str, str]]:
    """What answers that are there make likely."""
    found = cost.expected
    if found is None:
        return []
    rows = [("tokens of the answers, expected", _within(found.output_tokens))]
    if found.usd is not None:
        low, high = usd(found.usd.low), usd(found.usd.high, up=True)
        rows.append(("**cost, expected**", f"**{usd(found.usd.estimate)}** ({low} to {high})"))
    rows += [(f"{kind}, expected", _within(each)) for kind, each in found.outcomes.items()]
    judged = f"{found.answers:,} answers to {found.rows:,} rows"
    like = ", and its conditions like each other" if found.pooled else ""
    rows.append(("judged by", f"{judged}; {found.level:.0%} of such forecasts hold, if those are like the rest{like}"))
    return rows


def _within(found: Interval) -> str:
    return f"{found.estimate:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def _evidence(folder: RunFolder, plan: Plan, state: RunState) -> Iterator[str]:
    yield from ("", "## To check that nothing was changed", "")
    yield "SHA-256 sums: of the same content, the same sum. The request files are what is sent, to the byte.\n"
    rows = [("fingerprint of the run", plan.fingerprint), ("rows as read", plan.source.rows_sha256)]
    rows += [("file of the table", plan.source.sha256)] if plan.source.sha256 else []
    rows += [("prompt, compiled", plan.template_sha256)]
    copies = sorted(path for path in folder.spec.iterdir() if path.is_file()) if folder.spec.is_dir() else []
    rows += [(md.code(f"spec/{path.name}"), files.sha256_of(path)) for path in copies]
    shards = [*_shards(state, TAKEN_ROUND), *_shards(state, 1)]
    rows += [(md.code(f"requests/{shard.name}.jsonl"), shard.sha256) for shard in shards[:SHOWN]]
    yield md.table(("of", "SHA-256"), [(name, md.code(digest)) for name, digest in rows])
    if len(shards) > SHOWN:
        yield f"\n… and {len(shards) - SHOWN:,} more request files; all of them stand in {md.code('journal.jsonl')}."


def _samples(folder: RunFolder, plan: Plan, state: RunState) -> Iterator[str]:
    shards = [shard for shard in _shards(state, 1) or _shards(state, TAKEN_ROUND) if folder.shard(shard.name).is_file()]
    chosen = list(_drawn(folder, plan, shards))
    yield from ("", "## Sample prompts", "")
    yield f"{len(chosen)} of the requests, drawn by the fingerprint. They show real cells of the table: take them out"
    yield "before you pass this page on to somebody who may not see them."
    rows = Rows(folder.rows)
    conditions = {condition.number: condition.text for condition in plan.conditions}
    for line in chosen:
        with suppress(ValueError, LookupError, TypeError):  # of a file that was changed since it was built
            request = json.loads(line)
            number, condition = map(int, request["custom_id"].split("-")[:2])
            under = conditions.get(condition, "")
            sample = list(_sample(request, _cells(rows, plan, number)))
            yield from ("", f"### Row {number}{f', {md.code(under)}' if under else ''}", "", *sample)


def _cells(rows: Rows, plan: Plan, number: int) -> dict[str, str]:
    stored = {column.name: column.stored for column in plan.columns if column.name in (plan.columns_sent or ())}
    values = rows.cells(number, list(stored.values()))
    return {name: values[kept] for name, kept in stored.items()}


def _sample(request: dict[str, Any], cells: dict[str, str]) -> Iterator[str]:
    """One prompt: the cells beside it, what is said, the settings."""
    read = readable(request["body"])
    yield f"Request {md.code(request['custom_id'])}."
    if cells:
        yield from ("", "From the table:", "", md.block("\n".join(f"{name}: {cell}" for name, cell in cells.items())))
    for part in read.said:
        yield from ("", f"**{md.text(part.role)}** says:", "", md.block(part.text))
    yield from ("", f"Settings: {', '.join(md.code(f'{name}: {value}') for name, value in read.settings)}")


def _drawn(folder: RunFolder, plan: Plan, shards: Sequence[ShardState]) -> Iterator[bytes]:
    """A few request lines, the same for the same run, in their order."""
    total = sum(shard.lines or shard.requests for shard in shards)
    places: list[int] = []
    draw = 0
    while len(places) < min(SAMPLES, total):
        place = int(sha256(f"{plan.fingerprint}\n{draw}".encode()).hexdigest(), 16) % total
        places += [place] if place not in places else []
        draw += 1
    first = 0
    for shard in shards:
        lines = shard.lines or shard.requests
        here = sorted(place - first for place in places if first <= place < first + lines)
        first += lines
        if here:
            with folder.shard(shard.name).open("rb") as handle:
                yield from (line for at, line in enumerate(islice(handle, here[-1] + 1)) if at in here)


def _shards(state: RunState, round_: int) -> list[ShardState]:
    return list(state.rounds.get(round_, {}).values())
