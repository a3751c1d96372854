"""The bound of a request is never below its tokens, exact or estimated, whatever its text; groups lose nothing."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchflow.cost.tally import Group, Tally
from batchflow.cost.tokenizer import tokenizer_of
from batchflow.cost.weighing import Scale, Weight
from batchflow.identity import json_bytes
from batchflow.spec.endpoints import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES

quick = settings(max_examples=150, deadline=None)

TEXT = st.text(
    st.characters(exclude_categories=()) | st.sampled_from('\x00\u2028\ud800\U0001f469\u200d\u0300<|>"\\ \n')
)
NAMES = st.from_regex(r"[a-z]{1,12}", fullmatch=True)
MODELS = st.sampled_from(["gpt-4o", "gpt-4.1-mini", "gpt-3.5-turbo", "gpt-6-luna", "text-embedding-3-small"])
PARTS = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}), max_size=3)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXT | PARTS}, optional={"name": NAMES}
    ),
    min_size=1,
    max_size=5,
)
SCHEMAS = st.dictionaries(NAMES, st.fixed_dictionaries({"type": st.just("string"), "description": TEXT}), max_size=4)
TOOLS = st.builds(
    lambda name, properties: {"type": "function", "function": {"name": name, "parameters": {"properties": properties}}},
    NAMES,
    SCHEMAS,
)
CHATS = st.fixed_dictionaries(
    {"model": MODELS, "messages": MESSAGES},
    optional={
        "tools": st.lists(TOOLS, max_size=2),
        "response_format": SCHEMAS.map(lambda found: {"type": "json_schema", "json_schema": {"schema": found}}),
    },
)
RESPONSES_BODIES = st.fixed_dictionaries(
    {"model": MODELS, "input": TEXT | MESSAGES},
    optional={"instructions": TEXT, "text": SCHEMAS.map(lambda found: {"format": {"schema": found}})},
)
INPUTS = st.fixed_dictionaries(
    {"model": MODELS, "input": TEXT | st.lists(TEXT, min_size=1) | st.lists(st.integers(0, 99_999), min_size=1)}
)
PROMPTS = st.fixed_dictionaries({"model": MODELS, "prompt": TEXT})
BODIES = st.one_of(
    st.tuples(st.just(CHAT), CHATS),
    st.tuples(st.just(RESPONSES), RESPONSES_BODIES),
    st.tuples(st.sampled_from([EMBEDDINGS, MODERATIONS]), INPUTS),
    st.tuples(st.just(COMPLETIONS), PROMPTS),
)


@quick
@given(TEXT, TEXT, st.sampled_from([CHAT, RESPONSES, COMPLETIONS]))
def test_what_differs_in_texts_alone_weighs_the_same_where_it_is_as_long(one: str, other: str, endpoint: str) -> None:
    bodies: dict[str, Callable[[str], Any]] = {
        CHAT: lambda text: {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
        RESPONSES: lambda text: {"input": text, "instructions": text},
        COMPLETIONS: lambda text: {"prompt": text},
    }
    first, second = ({"model": "gpt-4o", **bodies[endpoint](text)} for text in (one, other))
    for exact in (False, True):
        scale = Scale(endpoint, exact=exact)
        if scale.by_size("gpt-4o"):
            assert scale.weigh(first, len(json_bytes(second))) == scale.weigh(second, len(json_bytes(second)))
    assert not Scale(EMBEDDINGS, exact=False).by_size("gpt-4o")


def weigh(endpoint: str, body: dict[str, Any], *, exact: bool) -> Weight:
    return Scale(endpoint, exact=exact).weigh(body, len(json_bytes(body)))


@quick
@given(BODIES)
@example((CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": ""}]}))
@example((RESPONSES, {"model": "gpt-4o", "input": "", "instructions": ""}))
@example((EMBEDDINGS, {"model": "text-embedding-3-small", "input": [1] * 500}))
@example((CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": "\U0001f469\u200d" * 300}]}))
def test_the_bound_is_never_below_the_exact_count_or_the_estimate(case: tuple[str, dict[str, Any]]) -> None:
    endpoint, body = case
    counted, estimated = weigh(endpoint, body, exact=True), weigh(endpoint, body, exact=False)
    assert counted.bound == estimated.bound
    assert counted.tokens <= counted.bound
    assert estimated.tokens <= estimated.bound
    assert not estimated.exact
    known = tokenizer_of(body["model"]) is not None
    beside = {"tools", "response_format", "text"} & body.keys()
    assert counted.exact == (known and not beside)


@quick
@given(TEXT)
def test_a_text_has_no_more_tokens_than_bytes(text: str) -> None:
    for model in ("gpt-4o", "gpt-3.5-turbo"):
        count = tokenizer_of(model)
        assert count is not None, "the extra `tokens` belongs to the development environment"
        assert count(text) <= len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2


WEIGHTS = st.lists(
    st.tuples(
        st.builds(
            Weight,
            st.integers(0, 10**6),
            st.booleans(),
            st.integers(1, 10**6),
            st.integers(0, 5_000),
            st.none() | st.integers(0, 9_999),
            st.booleans(),
        ),
        st.integers(1, 3),
        st.integers(1, 2),
        MODELS,
    )
)


@quick
@given(WEIGHTS)
def test_groups_hold_every_request_once_and_survive_the_manifest(weights: list[tuple[Weight, int, int, str]]) -> None:
    tally = Tally()
    for weight, shard, condition, model in weights:
        tally.add(weight, shard=shard, condition=condition, model=model)
    groups = tally.groups()
    assert sum(group.requests for group in groups) == len(weights)
    assert sum(group.tokens for group in groups) == sum(weight.tokens for weight, *_ in weights)
    assert sum(group.bound for group in groups) == sum(weight.bound for weight, *_ in weights)
    assert sum(group.uncapped for group in groups) == sum(weight.output is None for weight, *_ in weights)
    for group in groups:
        assert group.longest < 2 * (group.bound / group.requests)  # of about the same size
    assert tuple(Group.from_json(json.loads(json.dumps(group.to_json()))) for group in groups) == groups
