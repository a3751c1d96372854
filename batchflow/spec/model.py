"""The Experiment: what a spec may say, as strict frozen models. Descriptions and examples go into the JSON Schema.

Defaults of keys that shape requests never change within a spec version: fingerprints leave them out.
"""

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from batchflow.spec.answer import AnswerSpec
from batchflow.spec.base import KEY, Strict, Text, refuse
from batchflow.spec.context import InsertFile, InsertName
from batchflow.spec.data import DataSpec
from batchflow.spec.design import DesignSpec
from batchflow.spec.endpoints import CHAT, Endpoint
from batchflow.spec.money import BudgetSpec, PriceSpec
from batchflow.spec.provider import LOCAL, ProviderSpec
from batchflow.spec.sample import SampleSpec
from batchflow.spec.units import Duration, Keeping, LongDuration, Size

SPEC_VERSION: Final = 1

TEMPLATE_SUFFIXES: Final = (".json", ".yaml", ".yml")
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class PromptSpec(Strict):
    """The short form of a template: what the system says, what the user says."""

    system: Text | None = Field(
        default=None,
        description="The system message (`instructions` of /v1/responses): who the model is to be. {{ Column }} is "
        "filled in per row.",
        examples=["You are: {{ Description }}"],
    )
    user: Text = Field(
        description="The question; for endpoints without a conversation, their input. {{ Column }} is filled in per "
        "row.",
        examples=["What is your favourite book, and why?"],
    )


def _spelled_out(provider: Any) -> Any:
    return {"name": provider} if isinstance(provider, str) else provider


class LimitsSpec(Strict):
    """How requests are cut into files, and how many batches may be open."""

    requests_per_batch: int = Field(
        default=50_000, ge=1, le=50_000, description="At most so many requests travel in one file.", examples=[10_000]
    )
    bytes_per_batch: Size = Field(
        default=200_000_000,
        description="At most so large is one file: 1kB to 200MB. Units: kB, MB, GB (thousands), KiB, MiB (1024s); a "
        "plain number is bytes.",
        examples=["100MB"],
        json_schema_extra={"default": "200MB"},
    )
    batches_in_flight: int = Field(
        default=10,
        ge=1,
        le=100_000,
        description="At most so many batches are open at the provider at once.",
        examples=[2],
    )


class PollingSpec(Strict):
    """Waiting for the provider."""

    interval: Duration = Field(
        default=60.0,
        description="The longest time between two looks at the provider: 500ms, 0.1s, 60s, 5m, 1h; at most a day. "
        "Shorten it for the local provider.",
        examples=["60s", "0.2s"],
        json_schema_extra={"default": "60s"},
    )
    stalled_after: LongDuration = Field(
        default=93_600.0,
        description="How long a batch may show no change before it is said that it has stalled: 90m, 26h; at most 30 "
        "days (30d). It is watched on all the same.",
        examples=["26h"],
        json_schema_extra={"default": "26h"},
    )


class RetrySpec(Strict):
    """What happens with requests that got no final answer: expired, cancelled, missing, or an error that may pass."""

    max_rounds: int = Field(
        default=3,
        ge=1,
        le=20,
        description="How many passes over the requests still owed, the first included.",
        examples=[1],
    )


class OutputSpec(Strict):
    """The results, and what becomes of the files at the provider."""

    database: Text = Field(
        default="results.duckdb",
        description="The DuckDB file that holds the tables; several experiments may share one. A relative path starts "
        "at the folder of this file.",
        examples=["results.duckdb"],
    )
    raw: bool = Field(
        default=False, description="Keep every response body as JSON in the table `responses`.", examples=[True]
    )
    expires_after: Keeping | None = Field(
        default=None,
        description="After how long the provider is told to delete the files of answers, counted from when it has "
        "written them: 1h to 30d. Request files get the same time from their upload on, but 3 days at least. Without "
        "it they stay as long as the provider keeps them.",
        examples=["7d"],
    )
    delete_remote: bool = Field(
        default=False,
        description="Delete the files of a run at the provider when it has ended, and its answers are on disk and in "
        "the tables.",
        examples=[True],
    )

    def facts(self) -> dict[str, Any]:
        """As a run's manifest keeps them."""
        return {
            "database": self.database,
            "raw": self.raw,
            "expires_after": self.expires_after,
            "delete_remote": self.delete_remote,
        }

    @field_validator("database")
    @classmethod
    def _database_file(cls, database: str) -> str:
        suffix = PurePosixPath(database).suffix.lower()
        if suffix in {".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet", ".xlsx", ".sqlite", ".sqlite3"}:
            raise refuse(
                f"{KEY} is a DuckDB database; it cannot be a {suffix} file",
                "write e.g. results.duckdb; for other formats: batchflow results SPEC --format csv --output FILE",
            )
        if database.endswith("/"):
            raise refuse(f"{KEY} names a folder", f"name a file in it: {database}results.duckdb")
        if PurePosixPath(database).name.partition(".")[0].lower() == "data":
            raise refuse(f"{KEY}: DuckDB would take this name for the schema `data` in it", "write e.g. results.duckdb")
        return database


class Experiment(Strict):
    """A study: who is asked what about which rows."""

    version: Literal[1] = Field(description="The version of this file's format.", examples=[1])
    name: str = Field(
        description="The name of the study; folders of runs begin with it. Letters, digits, `-`, `_`, `.`; at most 64.",
        examples=["image-appeal"],
        json_schema_extra={"pattern": NAME_PATTERN},
    )
    description: str = Field(
        default="",
        description="For people: what the study is about.",
        examples=["Which of three package images do simulated consumers prefer?"],
    )
    data: DataSpec = Field(
        description="The table: every row becomes one request.", examples=[{"source": "personas.csv", "id": "ID"}]
    )
    template: str | dict[str, Any] | None = Field(
        default=None,
        description="The body of a request, with {{ Column }} filled in per row: the name of a JSON or YAML file, or "
        "the body itself. Either this or prompt.",
        examples=["prompt.json"],
    )
    prompt: PromptSpec | None = Field(
        default=None,
        validate_default=True,
        description="The short form of a template. Either this or template.",
        examples=[{"system": "You are: {{ Description }}", "user": "What is your favourite book?"}],
    )
    context: dict[InsertName, InsertFile] = Field(
        default={},
        description="Named inserts for prompts: a table (.csv, .tsv: a list of rows), .json, .yaml, or a text (.txt, "
        ".md). {{ name }} puts it into a prompt; Jinja can use it: {% for code in codebook %}{{ code.label }}{% endfor "
        "%}.",
        examples=[{"codebook": "codebook.csv"}],
    )
    parameters: dict[str, Any] = Field(
        default={},
        description="Top-level keys of every request's body, e.g. the model; they replace those of the template.",
        examples=[{"model": "gpt-4o", "temperature": 1}],
    )
    design: DesignSpec = Field(
        default=DesignSpec.model_construct(),
        description="Under which conditions each row is asked, and how often. Without it: once, as the template says.",
        examples=[{"factors": {"temperature": [0, 1]}, "replicates": 2}],
    )
    sample: SampleSpec | None = Field(
        default=None,
        description="A pilot: so many rows in place of all. Without it all are asked, and the answers of the pilot are "
        "taken over. `--sample N` says it for one command.",
        examples=[{"n": 20, "by": ["country"]}],
    )
    duplicates: Literal["separate", "share"] = Field(
        default="separate",
        description="Prompts that are equal to the byte: ask each (separate), or ask once and use the answer for all "
        "(share); replicates are asked each.",
        examples=["share"],
    )
    reuse: Literal["project", "none"] = Field(
        default="project",
        description="Final answers that other runs of this project have to the very same request: take them over "
        "(project), or ask again (none).",
        examples=["none"],
    )
    answer: AnswerSpec | None = Field(
        default=None,
        description="What an answer must look like; its fields become typed columns of `results`.",
        examples=[{"fields": {"why": "text", "choice": ["kawaii", "cubs", "futuristic"], "score": "1..7"}}],
    )
    endpoint: Endpoint = Field(
        default=CHAT,
        description="The API that answers the requests. Of images and videos the whole body becomes `content`.",
        examples=[CHAT],
    )
    provider: Annotated[ProviderSpec, BeforeValidator(_spelled_out)] = Field(
        default=ProviderSpec.model_construct(name=LOCAL),
        description="Who is asked: a name, or a mapping with more. Without it the study runs on the local provider: "
        "free, offline, with SIMULATED answers.",
        examples=[
            "local",
            "openai",
            {"name": "my-service", "base_url": "https://llm.example.org/v1", "api_key_env": "MY_SERVICE_API_KEY"},
        ],
    )
    limits: LimitsSpec = Field(
        default=LimitsSpec.model_construct(),
        description="Sizes of the files that are sent.",
        examples=[{"requests_per_batch": 10_000}],
    )
    budget: BudgetSpec | None = Field(
        default=None,
        description="The most that a run may cost. What could cost more is not sent.",
        examples=[{"max_usd": 5}],
    )
    prices: dict[Text, PriceSpec] = Field(
        default={},
        description="What models cost in a batch, in US dollars for a million tokens, where the prices that batchflow "
        "brings along are missing or not yours.",
        examples=[{"my-model": {"input": 1.25, "output": 5}}],
    )
    polling: PollingSpec = Field(
        default=PollingSpec.model_construct(),
        description="How often the provider is asked for news.",
        examples=[{"interval": "60s"}],
    )
    retry: RetrySpec = Field(
        default=RetrySpec.model_construct(),
        description="What happens with requests that got no final answer.",
        examples=[{"max_rounds": 3}],
    )
    output: OutputSpec = Field(
        default=OutputSpec.model_construct(),
        description="Where the tables go, and what becomes of the files at the provider.",
        examples=[{"database": "results.duckdb"}],
    )

    @field_validator("version", mode="before")
    @classmethod
    def _known_version(cls, version: Any) -> Any:
        if type(version) is int and version > SPEC_VERSION:
            raise refuse(
                f"{KEY} is {version}; this batchflow knows version {SPEC_VERSION}",
                "update batchflow, or write version: 1",
            )
        if type(version) is not int or version != SPEC_VERSION:
            raise refuse(f"{KEY} must be the number {SPEC_VERSION}", "write version: 1, without quotes")
        return version

    @field_validator("name")
    @classmethod
    def _folder_name(cls, name: str) -> str:
        if not re.match(NAME_PATTERN, name) or "\n" in name:
            letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
            meant = re.sub(r"[^A-Za-z0-9._-]+", "-", letters).strip("-_.")[:64].rstrip("-_.")
            raise refuse(
                f"{KEY} becomes the name of a folder: letters, digits, `-`, `_` and `.` only, starting with a "
                "letter or digit, at most 64",
                f"write {meant}" if meant else "write e.g. image-appeal",
            )
        return name

    @field_validator("template", mode="before")
    @classmethod
    def _template_kind(cls, template: Any) -> Any:
        if template is None or (isinstance(template, dict) and template):
            return template
        if not isinstance(template, str):
            raise refuse(
                f"{KEY} must be the name of a JSON or YAML file, or the body of a request",
                "write e.g. template: prompt.json",
            )
        if PurePosixPath(template).suffix.lower() not in TEMPLATE_SUFFIXES:
            raise refuse(
                f"{KEY} must be the name of a JSON file (ending in .json) or a YAML file (.yaml)",
                "for a plain text use `prompt:` with `user:` (and `system:`) instead",
            )
        return template

    @field_validator("prompt")
    @classmethod
    def _one_of_both(cls, prompt: PromptSpec | None, info: ValidationInfo) -> PromptSpec | None:
        if "template" not in info.data:
            return prompt  # it has a fault of its own
        if prompt is not None and info.data["template"] is not None:
            raise refuse(
                "both `template` and `prompt` are given", "keep one of the two and remove the other", at_key=True
            )
        if prompt is None and info.data["template"] is None:
            raise refuse(
                "neither `template` nor `prompt` is given: nothing says what is asked",
                'add e.g. prompt: {user: "What is your favourite book?"}',
            )
        return prompt

    def shaping(self) -> dict[str, Any]:
        """The request-shaping keys for the fingerprint, dotted, values equal to the defaults left out.

        Template, prompt, context and parameters are not here: they enter it through the compiled template. Nor is the
        design, whose levels may lie in files.
        """
        keys = {
            "data.id": self.data.id,
            "data.missing": self.data.missing,
            "duplicates": self.duplicates,
            "endpoint": self.endpoint,
        }
        defaults = {"data.id": None, "data.missing": "error", "duplicates": "separate", "endpoint": CHAT}
        return {key: value for key, value in keys.items() if value != defaults[key]}
