"""What an experiment may say, key by key."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from batchflow.errors import SpecError
from batchflow.identity import json_bytes
from batchflow.spec import later
from batchflow.spec.endpoints import ENDPOINTS
from batchflow.spec.load import Spec, load_spec
from batchflow.spec.model import Experiment
from batchflow.spec.provider import ProviderSpec

BASE: dict[str, Any] = {"version": 1, "name": "study", "data": {"source": "people.csv"}, "prompt": {"user": "Hello"}}


def load(folder: Path, **changes: Any) -> Spec:
    """The base with changes, through a file: JSON is YAML too."""
    path = folder / "experiment.yaml"
    path.write_bytes(json_bytes({key: value for key, value in (BASE | changes).items() if value is not ...}))
    return load_spec(path)


def refused(folder: Path, **changes: Any) -> str:
    with pytest.raises(SpecError) as caught:
        load(folder, **changes)
    assert all(fault.line == 1 and fault.column is not None and fault.remedy for fault in caught.value.faults)
    return caught.value.text()


def test_defaults(tmp_path: Path) -> None:
    experiment = load(tmp_path).experiment
    assert experiment.provider == ProviderSpec(name="local")
    assert experiment.provider.settle is None
    assert experiment.endpoint == "/v1/chat/completions"
    assert (experiment.data.id, experiment.data.missing) == (None, "error")
    limits = experiment.limits
    assert (limits.requests_per_batch, limits.bytes_per_batch, limits.batches_in_flight) == (50_000, 200_000_000, 10)
    assert (experiment.polling.interval, experiment.retry.max_rounds) == (60.0, 3)
    assert (experiment.output.database, experiment.output.raw) == ("results.duckdb", False)
    assert (experiment.template, experiment.parameters, experiment.description) == (None, {}, "")


def test_shaping_keys_leave_defaults_out(tmp_path: Path) -> None:
    assert load(tmp_path).experiment.shaping() == {}
    spelt_out = {"source": "people.csv", "id": None, "missing": "error"}
    assert load(tmp_path, data=spelt_out, endpoint="/v1/chat/completions").experiment.shaping() == {}
    changed = load(tmp_path, data={"source": "people.csv", "id": "ID", "missing": "empty"}).experiment
    assert changed.shaping() == {"data.id": "ID", "data.missing": "empty"}
    other = load(
        tmp_path, name="other", description="x", retry={"max_rounds": 1}, polling={"interval": "1s"}
    ).experiment
    assert other.shaping() == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("0.1s", 0.1),
        (".5s", 0.5),
        ("60s", 60),
        ("5m", 300),
        ("1h", 3600),
        ("24h", 86400),
        ("1d", 86400),
        ("2 s", 2),
    ],
)
def test_durations(tmp_path: Path, text: str, seconds: float) -> None:
    assert load(tmp_path, polling={"interval": text}).experiment.polling.interval == seconds


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (60, "write 60s"),
        (0.5, "write 0.5s"),
        ("60", "write 60s"),
        ("5 minutes", "write 5m"),
        ("1w", "units of time are ms, s, m, h, d"),
        ("1 day", "write 1d"),
        ("0s", "more than 0"),
        ("25h", "at most a day"),
        ("-5s", "not a number with a unit"),
        ("soon", "not a number with a unit"),
        ("\uff11s", "not a number with a unit"),
        ("9" * 500 + "s", "not a number with a unit"),
        ("", "not a number with a unit"),
        (True, "has to be a number with a unit"),
        (None, "has to be a number with a unit"),
        ([1], "has to be a number with a unit"),
    ],
)
def test_durations_refused(tmp_path: Path, value: Any, words: str) -> None:
    assert words in refused(tmp_path, polling={"interval": value})


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3600), ("90m", 5400), ("7d", 604_800), ("30d", 2_592_000), ("720h", 2_592_000)]
)
def test_files_are_kept_from_an_hour_to_thirty_days(tmp_path: Path, text: str, seconds: int) -> None:
    assert load(tmp_path, output={"expires_after": text}).experiment.output.expires_after == seconds
    assert load(tmp_path, output={"expires_after": text, "delete_remote": True}).experiment.shaping() == {}


@pytest.mark.parametrize("value", ["59m", "31d", "0s", "3600.5s"])
def test_files_are_kept_no_other_time(tmp_path: Path, value: str) -> None:
    assert "a whole number of seconds, from an hour (1h) to 30 days (30d)" in refused(
        tmp_path, output={"expires_after": value}
    )


@pytest.mark.parametrize(("value", "words"), [(7, "write 7s"), ("7", "write 7s"), ("7 weeks", "ms, s, m, h, d")])
def test_how_long_files_are_kept_has_a_unit(tmp_path: Path, value: object, words: str) -> None:
    assert words in refused(tmp_path, output={"expires_after": value})


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("200MB", 200_000_000),
        ("1kB", 1000),
        ("1.5 MB", 1_500_000),
        ("64KiB", 65_536),
        ("1MiB", 1_048_576),
        (5000, 5000),
    ],
)
def test_sizes(tmp_path: Path, value: Any, size: int) -> None:
    assert load(tmp_path, limits={"bytes_per_batch": value}).experiment.limits.bytes_per_batch == size


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("200M", "write 200MB"),
        ("200mb", "write 200MB"),
        ("200", "has no unit"),
        (1.5, "has no unit"),
        ("201MB", "between 1kB and 200MB"),
        ("1GB", "between 1kB and 200MB"),
        (999, "between 1kB and 200MB"),
        ("big", "not a number with a unit"),
        (False, "has to be a number"),
    ],
)
def test_sizes_refused(tmp_path: Path, value: Any, words: str) -> None:
    assert words in refused(tmp_path, limits={"bytes_per_batch": value})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "this batchflow knows version 1"),
        ({"version": True}, "must be the number 1"),
        ({"version": 1.0}, "must be the number 1"),
        ({"version": ...}, "`version` is missing"),
        ({"name": "a/b"}, "write a-b"),
        ({"name": "-a"}, "write a"),
        ({"name": "a" * 65}, "at most 64"),
        ({"name": "a\n"}, "write a"),
        ({"name": ""}, "image-appeal"),
        ({"data": {"source": ""}}, "`data.source` is empty"),
        ({"data": {"source": "s3://b/*.csv"}}, "a pattern in an address is not supported yet"),
        ({"data": {"source": "http://example.org/x.csv"}}, "write https://"),
        ({"data": {"source": "https://me:pw@example.org/x.csv"}}, "carries a password or a signature"),
        ({"data": {"source": "s3://b/x.csv?X-Amz-Signature=abc"}}, "carries a password or a signature"),
        ({"data": {"id": "ID"}}, "`data` names no table"),
        ({"data": {"source": "a.csv", "query": "select 1"}}, "both `source` and `query` are given"),
        ({"data": {"source": "a.csv", "run": "other"}}, "both `source` and `run` are given"),
        ({"data": {"source": "a.csv", "sheet": "S"}}, "`data.sheet` is for an Excel or OpenDocument file, not for"),
        (
            {"data": {"query": "from 'a.db'", "table": "t"}},
            "remedy: name it in the query, behind the file: from 'panel.sq",
        ),
        ({"data": {"source": "a.xlsx", "encoding": "latin-1"}}, "`data.encoding` is for a CSV or TSV file"),
        ({"data": {"source": "a.parquet", "table": "t"}}, "`data.table` is for an SQLite or DuckDB file"),
        ({"data": {"query": "select 1", "sheet": "S"}}, "not for a query"),
        ({"data": {"run": "other", "encoding": "latin-1"}}, "not for the results of a run"),
        ({"data": {"source": "a.csv", "encoding": "latin-99"}}, "there is no encoding 'latin-99'"),
        ({"data": {"source": "a.csv", "encoding": "hex"}}, "there is no encoding 'hex'"),
        ({"data": {"source": "a.xlsx", "range": "A1-B2"}}, "write e.g. B3:F200"),
        ({"data": {"source": "people"}}, "must end in .csv"),
        ({"data": {"source": "people.csv", "id": 5}}, 'put it in quotes: "5"'),
        ({"data": {"source": "people.csv", "missing": "ignore"}}, "write error or empty"),
        ({"data": {"source": "people.csv", "missing": True}}, "`data.missing` cannot be true"),
        ({"prompt": {"system": "x"}}, "`prompt.user` is missing"),
        ({"prompt": {"user": ""}}, "`prompt.user` is empty"),
        ({"prompt": ..., "template": "You are {{ A }}"}, "use `prompt:`"),
        ({"prompt": ..., "template": {}}, "`template` must be"),
        ({"prompt": ..., "template": 5}, "`template` must be"),
        ({"prompt": ..., "template": None}, "neither `template` nor `prompt`"),
        ({"template": {"model": "m"}}, "both `template` and `prompt`"),
        ({"endpoint": 1}, "`endpoint` cannot be the number 1"),
        ({"limits": {"requests_per_batch": 50_001}}, "the largest value allowed is 50000"),
        ({"limits": {"requests_per_batch": True}}, "`limits.requests_per_batch` is true where a whole number"),
        ({"limits": {"batches_in_flight": 0}}, "the smallest value allowed is 1"),
        ({"limits": {"batches_in_flight": "3"}}, "write 3, without quotes"),
        ({"limits": {"batches_in_flight": 10**30}}, "`limits.batches_in_flight`"),
        ({"retry": {"max_rounds": 21}}, "the largest value allowed is 20"),
        ({"output": {"raw": 1}}, "write true"),
        ({"output": {"raw": "no"}}, "write false"),
        ({"output": {"database": "results.csv"}}, "batchflow results SPEC --format csv"),
        ({"output": {"database": "out/"}}, "names a folder"),
        ({"interval": "5s"}, "write it under `polling`"),
        ({"temperature": 1}, "write it under `parameters`"),
        ({"user": "Hello"}, "write it under `prompt`"),
        ({"retry": {"source": "a.csv"}}, "write it under `data`"),
        ({"data": {"source": "people.csv", "output": {}}}, "at the top level"),
        ({"messages": []}, "into the template"),
        ({"provider": None}, "`provider` has no value"),
        ({"provider": 5}, "where a name or a mapping"),
    ],
)
def test_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    text = refused(tmp_path, **changes)
    assert words in text
    assert "Input should" not in text


@pytest.mark.parametrize(
    "provider",
    [
        "local",
        "openai",
        {"name": "local", "seed": 7},
        {"name": "openai", "settle": "90s"},
        {"name": "openai", "api_key_env": "LAB_OPENAI_API_KEY"},
        {"name": "openai", "base_url": "https://eu.api.openai.com/v1", "api_key_env": "OPENAI_API_KEY"},
        {"name": "lab", "base_url": "https://llm.example.org:8443/v1", "api_key_env": "LAB_API_KEY"},
        {"name": "lab", "base_url": "http://127.0.0.1:8000/v1", "api_key_env": "LAB_API_KEY"},
        {"name": "lab", "base_url": "http://localhost:8000/v1", "api_key_env": "LAB_API_KEY"},
        {"name": "lab", "base_url": "http://[::1]:8000/v1", "api_key_env": "LAB_API_KEY"},
    ],
)
def test_providers(tmp_path: Path, provider: Any) -> None:
    given = {"name": provider} if isinstance(provider, str) else provider
    found = load(tmp_path, provider=provider).experiment.provider
    assert {key: value for key, value in given.items() if key != "settle"}.items() <= found.model_dump().items()
    assert found.settle == (90.0 if "settle" in given else None)


LAB = {"name": "lab", "api_key_env": "LAB_API_KEY"}


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        ("OpenAI", "write openai"),
        ("lab", "`provider.base_url` is missing"),
        ({"name": "lab", "base_url": "https://llm.example.org/v1"}, "`provider.api_key_env` is missing"),
        ({"name": "openai", "base_url": "https://llm.example.org/v1"}, "`provider.api_key_env` is missing"),
        ({**LAB, "base_url": "https://llm.example.org/v1", "api_key_env": "OPENAI_API_KEY"}, "goes to OpenAI only"),
        (
            {**LAB, "base_url": "https://api.openai.com.evil.org", "api_key_env": "OPENAI_API_KEY"},
            "goes to OpenAI only",
        ),
        ({**LAB, "base_url": "http://127.0.0.1/v1", "api_key_env": "OPENAI_API_KEY"}, "goes to OpenAI only"),
        ({**LAB, "base_url": "http://llm.example.org/v1"}, "plain http"),
        ({**LAB, "base_url": "http://127.0.0.1.example.org/v1"}, "plain http"),
        ({**LAB, "base_url": "http://0.0.0.0:80/v1"}, "plain http"),
        ({**LAB, "base_url": "https://u@llm.example.org/v1"}, "user name or password"),
        ({**LAB, "base_url": "http://localhost:1@llm.example.org/v1"}, "user name or password"),
        ({**LAB, "base_url": "https://llm.example.org/v1?key=1"}, "query or fragment"),
        ({**LAB, "base_url": "https://llm.example.org/v1#"}, "query or fragment"),
        ({**LAB, "base_url": "https://llm.example.org/ v1"}, "blanks"),
        ({**LAB, "base_url": "https://llm.example.org\\@evil.org/v1"}, "blanks or other characters"),
        ({**LAB, "base_url": "llm.example.org/v1"}, "not a web address"),
        ({**LAB, "base_url": "ftp://llm.example.org/v1"}, "not a web address"),
        ({**LAB, "base_url": "https:///v1"}, "not a web address"),
        ({**LAB, "base_url": "https://llm.example.org:99999/v1"}, "not a web address"),
        ({**LAB, "base_url": "https://[::1/v1"}, "not a web address"),
        ({**LAB, "base_url": ""}, "not a web address"),
        ({"name": "openai", "api_key_env": "openai_key"}, "write e.g. OPENAI_API_KEY"),
        ({"name": "openai", "api_key_env": "PATH"}, "write e.g. PATH_API_KEY"),
        ({"name": "openai", "api_key_env": "AWS_SECRET_ACCESS_KEY"}, "ends in _API_KEY"),
        ({"name": "openai", "api_key_env": ""}, "write e.g. MY_SERVICE_API_KEY"),
        ({"name": "local", "base_url": "https://x.org"}, "does not apply to the provider local"),
        ({"name": "local", "api_key_env": "X_API_KEY"}, "does not apply to the provider local"),
        ({"name": "openai", "seed": 3}, "applies to the provider local only"),
        ({"name": "local", "seed": -1}, "the smallest value allowed is 0"),
        ({"name": "local", "settle": "0s"}, "more than 0"),
        ({"seed": 3}, "`provider.name` is missing"),
    ],
)
def test_providers_refused(tmp_path: Path, provider: Any, words: str) -> None:
    assert words in refused(tmp_path, provider=provider)


LATER = [(place, key) for place, keys in later.KEYS.items() for key in keys]


@pytest.mark.parametrize(("place", "key"), LATER)
def test_keys_of_later_versions_are_refused_by_name(tmp_path: Path, place: tuple[str, ...], key: str) -> None:
    changes: dict[str, Any] = {place[0]: {**BASE.get(place[0], {}), key: 1}} if place else {key: 1}
    text = refused(tmp_path, **changes)
    assert f"`{'.'.join((*place, key))}` is not supported yet" in text
    assert "remedy: remove it" in text


def test_later_keys_are_those_of_the_design() -> None:
    top = {"stages"}
    assert set(later.KEYS[()]) >= top
    assert not {key for place, key in LATER if not place} & set(Experiment.model_fields)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_endpoints(tmp_path: Path, endpoint: str) -> None:
    assert load(tmp_path, endpoint=endpoint).experiment.endpoint == endpoint


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("/v1/response", "did you mean /v1/responses?"),
        ("https://api.openai.com/v1/embeddings/", "did you mean /v1/embeddings?"),
        ("responses", "did you mean /v1/responses?"),
        ("/v1/audio/transcriptions", "write one of /v1/chat/completions, /v1/responses"),
        ("", "write one of"),
        (7, "`endpoint` cannot be the number 7"),
    ],
)
def test_endpoints_that_no_batch_can_be_for(tmp_path: Path, endpoint: Any, words: str) -> None:
    assert words in refused(tmp_path, endpoint=endpoint)


@pytest.mark.parametrize("file", ["a.csv", "a.TSV", "a.tab", "b/c.json", "a.yaml", "a.yml", "a.txt", "a.md"])
def test_inserts(tmp_path: Path, file: str) -> None:
    assert load(tmp_path, context={"code_book": file}).experiment.context == {"code_book": file}


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"code book": "a.csv"}, "write code_book"),
        ({"2": "a.csv"}, "write e.g. codebook"),
        ({"row": "a.csv"}, "`row` means something else in a slot"),
        ({"a": "a.xlsx"}, "`context.a` must be a table"),
        ({"a": ["a.csv"]}, "`context.a` must be the name of a file"),
        ({"a": ""}, "`context.a` must be the name of a file"),
        ("a.csv", "`context` is the text"),
    ],
)
def test_inserts_refused(tmp_path: Path, context: Any, words: str) -> None:
    assert words in refused(tmp_path, context=context)


@pytest.mark.parametrize("suffix", sorted(later.SOURCES))
def test_sources_of_later_versions(tmp_path: Path, suffix: str) -> None:
    assert f"a {suffix} file is not supported yet" in refused(tmp_path, data={"source": f"people{suffix}"})


@pytest.mark.parametrize(
    "source",
    [
        "people.csv",
        "PEOPLE.CSV",
        "people.tsv",
        "people.tab",
        "../data/people 2024.csv",
        "people.jsonl",
        "people.ndjson",
        "people.parquet",
        "people.xlsx",
        "people.ods",
        "people.dta",
        "people.sav",
        "people.sqlite",
        "people.db",
        "people.duckdb",
        "answers-*.csv",
        "s3://bucket/people.parquet",
        "https://example.org/people.csv?raw=1",
    ],
)
def test_sources(tmp_path: Path, source: str) -> None:
    assert load(tmp_path, data={"source": source}).experiment.data.source == source


@pytest.mark.parametrize(
    "data",
    [
        {"query": "select 1"},
        {"query": "select 1", "encoding": "latin-1"},
        {"run": "other"},
        {"run": "../other", "query": "select * from results"},
        {"source": "a.csv", "encoding": "windows-1252"},
        {"source": "a.xlsx", "sheet": "S", "range": "B3:F20"},
        {"source": "a.db", "table": "t"},
    ],
)
def test_tables_that_are_more_than_a_file(tmp_path: Path, data: dict[str, Any]) -> None:
    assert load(tmp_path, data=data).experiment.data.model_dump(exclude_unset=True) == data


def test_defaults_that_are_made_unchecked_are_what_a_check_makes_of_them() -> None:
    """To check them would build every model a second time, at every start."""
    found = [field.default for field in Experiment.model_fields.values() if isinstance(field.default, BaseModel)]
    assert len(found) == 6
    for default in found:
        given = {name: getattr(default, name) for name in default.model_fields_set}
        assert type(default)(**given) == default
