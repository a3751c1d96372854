"""Money in words: dollars, and what a forecast says to a person who decides by it."""

from collections.abc import Mapping
from typing import Any

from batchflow.cli import render
from batchflow.cost.dollars import usd

_KINDS = {"same": "the same", "changed": "changed", "added": "added", "gone": "gone"}
_POOLED = ", and its conditions like each other"


def forecast_text(found: Any) -> list[str]:
    """A forecast in lines: what is asked, what it weighs, what it costs, by whose prices."""
    real = found.real or found
    lines = [_input(found), _output(found)]
    if found.simulated:
        lines.append(f"Cost: nothing{render.simulated(really=True)}. OpenAI would take: {_cost(real)}")
    else:
        lines.append(f"Cost: {_cost(real)}")
    lines += [f"Price of {price.model}: {_price(price)}" for price in real.prices]
    return [*lines, *(_expected(real.expected) if real.expected else ())]


def forecast_sentence(found: Any) -> str:
    """The same in a question's few words."""
    said = f"{found.input_tokens:,} input tokens ({found.counted}). Cost: {_cost(found)}."
    expected = found.expected
    if expected is None or expected.usd is None:
        return said
    return f"{said} Judged by {render.plural(expected.answers, 'answer')} before: {_dollars(expected.usd)}."


def _expected(found: Any) -> list[str]:
    """What answers that are there make likely."""
    answers = f"{render.plural(found.answers, 'answer')} to {render.plural(found.rows, 'row')}"
    like = f"if those rows are like the rest{_POOLED if found.pooled else ''}"
    return [
        "",
        f"Expected, judged by {answers} (in brackets, where {found.level:.0%} of such forecasts end, {like}):",
        f"  input {_count(found.input_tokens)} tokens, output {_count(found.output_tokens)} tokens",
        f"  cost {'not known' if found.usd is None else _dollars(found.usd)}",
        *([f"  {', '.join(f'{kind} {_count(each)}' for kind, each in found.outcomes.items())}"]),
    ]


def _count(found: Any) -> str:
    return f"{found.estimate:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def _dollars(found: Any) -> str:
    return f"about {usd(found.estimate)} ({usd(found.low)} to {usd(found.high, up=True)})"


def share_text(cell: Mapping[str, Any]) -> str:
    """What a cell of a design costs."""
    if (expected := cell["expected_usd"]) is not None:
        return f"about {usd(expected['estimate'])}"
    return "not known" if cell["bound_usd"] is None else f"at most {usd(cell['bound_usd'], up=True)}"


def _share(found: Mapping[str, Any]) -> str:
    if found["usd"] is None:
        return "not known"
    return f"about {usd(found['usd'])}" if found["expected"] else f"up to about {usd(found['usd'], up=True)}"


def beside_text(compared: Mapping[str, Any]) -> list[str]:
    """What became of the requests of the run before, and the money of it."""
    rows = [
        (
            _KINDS[kind],
            f"{found['requests']:,}",
            f"{found['asked']:,}",
            _share(found) if found["asked"] else "",
            usd(found["paid_usd"]) if found["paid_usd"] else "",
        )
        for kind, found in compared["money"].items()
        if found["requests"]
    ]
    headers = (f"beside {compared['run']}, by row id", "requests", "to buy", "cost", "paid before, about")
    return ["", render.table(headers, rows, right=frozenset({1, 2, 3, 4}))]


def _input(found: Any) -> str:
    how = "exact" if found.counted == "exact" else "an estimate"
    most = "no bound is known" if found.input_bound is None else f"at most {found.input_bound:,}"
    return f"Input: {found.input_tokens:,} tokens ({how}), {most}"


def _output(found: Any) -> str:
    if found.output_bound is not None:
        return f"Output: at most {found.output_bound:,} tokens"
    return f"Output: not known, nothing caps the answers to {render.plural(found.uncapped, 'request')}"


def _cost(found: Any) -> str:
    if unknown := found.unknown_prices:
        return f"not known: no price of {', '.join(unknown)} (`prices` in the experiment file can say it)"
    about = "" if found.input_usd is None else f"the input about {usd(found.input_usd)}"
    if found.bound_usd is None:
        why = []
        if found.uncapped:
            why.append("nothing caps the answers")
        if found.unweighed:
            why.append(f"{render.plural(found.unweighed, 'request')} cannot be weighed (images, files, tools)")
        return "; ".join(["no bound is known, because " + " and ".join(why), *([about] if about else [])])
    single = (
        "" if found.single_usd is None else f"; one by one, without a batch, at most {usd(found.single_usd, up=True)}"
    )
    return f"at most {usd(found.bound_usd, up=True)}, {about}{single}"


def _price(price: Any) -> str:
    if price.source is None:
        return "not known"
    tiers = ", more for long requests" if price.tiers else ""
    known_as = f" for {price.known_as}" if price.known_as not in {None, "", price.model} else ""
    batch = "" if price.batch_known else "; no batch price is known, this is the full one"
    million = f"${price.input:g} input, ${price.output:g} output for a million tokens{tiers}"
    return f"{million} ({price.source}{known_as}, of {price.as_of}){batch}"
