"""An experiment file -> a Spec: the validated Experiment together with the places of its keys, so that any later
layer can point into the YAML. Every fault of a file is reported at once.
"""

import os
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from batchflow.errors import Fault, SpecError
from batchflow.spec.explain import dotted, explain, meant
from batchflow.spec.model import Experiment
from batchflow.spec.places import Loc, Places
from batchflow.spec.source_text import SourceText
from batchflow.spec.yaml_faults import NotReadable, refuse_damaged
from batchflow.spec.yaml_tree import MAX_FAULTS, Node, read_tree

PATHS_COUNT: Final = "paths count from the folder of the experiment file"
ALIKE: Final = 0.8  # names of files, of which one is a misspelling of the other
LARGEST_FILE: Final = 4_000_000  # bytes; tables and long templates have files of their own
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_OPENAI_KEY: Final = re.compile(r"\bsk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}")
_KEY_NAMES: Final = frozenset({"api_key", "apikey", "api-key", "secret", "password", "token", "authorization"})


class Spec(NamedTuple):
    """An experiment file as it was read. Relative paths start at `folder`; `content` is the file byte for byte."""

    path: Path
    folder: Path
    content: bytes
    experiment: Experiment
    places: Places

    def resolve(self, relative: str) -> Path:
        """A path named in the spec: relative ones start at the spec's folder, `~` is the home folder."""
        path = Path(relative)
        with suppress(RuntimeError):  # no home folder: the path stays as it is and is not found
            path = path.expanduser()
        return self.folder / path

    def fault(self, loc: Loc, cause: str, remedy: str, *, key: bool = False, inside: int = 0) -> Fault:
        """A fault at the value of a key path such as ("data", "source"), as `Places.fault` has it."""
        return self.places.fault(loc, cause, remedy, key=key, inside=inside)

    def where(self, folder: Path) -> str:
        """A folder as its reader knows it, for what is not in it."""
        return f"the folder of {self.path.name}" if folder == self.folder else str(folder)

    def missing(self, loc: Loc, path: Path) -> Fault:
        """A fault at a key that names a file which is not there, or a folder."""
        if path.is_dir():
            return self.fault(loc, "this is a folder, not a file", PATHS_COUNT)
        beside: list[str] = []
        with suppress(OSError):
            beside = [each.name for each in path.parent.iterdir() if each.is_file()]
        near = get_close_matches(path.name, beside, n=1, cutoff=ALIKE)
        remedy = f"did you mean {near[0]!r}? {PATHS_COUNT}" if near else PATHS_COUNT
        return self.fault(loc, f"there is no file {path.name!r} in {self.where(path.parent)}", remedy)


def load_spec(path: Path) -> Spec:
    """Read and check an experiment file. Raises SpecError with every fault found; touches nothing but this file."""
    content = _read(path)
    source = _decode(path, content)
    try:
        refuse_damaged(source)
        root, faults = read_tree(source)
    except NotReadable as problem:
        raise SpecError([problem.fault]) from None
    if not isinstance(root.value, dict):
        raise SpecError([*faults, _not_a_mapping(source, root)])
    secrets = dict(_secrets(source, root))
    faults += secrets.values()
    try:
        experiment = Experiment.model_validate(root.plain())
    except ValidationError as error:
        faults += _model_faults(Places(source, root), _worth_saying(error, secrets))
    if faults:
        found = sorted(set(faults), key=lambda fault: (fault.line or 0, fault.column or 0, fault.cause))
        more = len(found) > MAX_FAULTS
        raise SpecError(found[:MAX_FAULTS], hint=f"only the first {MAX_FAULTS} faults are shown" if more else "")
    return Spec(path, path.parent, content, experiment, Places(source, root))


def _worth_saying(error: ValidationError, secrets: Container[Loc]) -> list[ErrorDetails]:
    """The findings without those that follow from another: a key that is missing because it is misspelt, or whatever
    is said of a secret.
    """
    findings = [_at_its_place(item) for item in error.errors(include_url=False)[: 2 * MAX_FAULTS]]
    unknown = [item["loc"] for item in findings if item["type"] == "extra_forbidden"]
    misspelt = {(*loc[:-1], meant(loc)) for loc in unknown}
    if ("template",) in misspelt:
        misspelt.add(("prompt",))
    if {("data", "source"), ("data", "query")} & misspelt:
        misspelt.add(("data", "run"))  # where it is said that none of the three is there

    def follows(item: ErrorDetails) -> bool:
        loc = item["loc"]
        absent = item["type"] == "missing" or (item["type"] == "batchflow" and item["input"] is None)
        return (absent and loc in misspelt) or any(loc[:length] in secrets for length in range(1, len(loc) + 1))

    return [item for item in findings if not follows(item)]


def _at_its_place(item: ErrorDetails) -> ErrorDetails:
    """A finding of ours at the place inside the value that it speaks of."""
    within = item["ctx"]["within"] if item["type"] == "batchflow" else ()
    return {**item, "loc": (*item["loc"], *within)} if within else item


def _model_faults(places: Places, findings: Sequence[ErrorDetails]) -> Iterator[Fault]:
    for finding in findings:
        _, nodes = places.walk(finding["loc"])
        if not any(node.broken for node in nodes):
            cause, remedy, at_key = explain(finding)
            yield places.fault(finding["loc"], cause, remedy, key=at_key)


def _not_a_mapping(source: SourceText, root: Node) -> Fault:
    kind = "a list" if isinstance(root.value, list) else "a single value"
    return source.fault(
        root.start,
        f"an experiment is a mapping (`key: value` lines); this file holds {kind}",
        "begin with version: 1 and name: …",
    )


def _secrets(source: SourceText, root: Node) -> Iterator[tuple[Loc, Fault]]:
    """A fault for each key in the file. Its line is not shown."""
    values = [value for name, value in os.environ.items() if name.endswith("_API_KEY") and len(value) >= 8]  # noqa: PLR2004 - as redact
    for loc, node in _scalars(root, ()):
        text = node.value
        named = len(loc) <= 2 and str(loc[-1]).lower() in _KEY_NAMES  # noqa: PLR2004 - deeper it may be a schema's property
        if isinstance(text, str) and (named or _OPENAI_KEY.search(text) or any(value in text for value in values)):
            line, column = source.position(node.start)
            cause = f"`{dotted(loc)}` holds a key: keys come from the environment, never from a file"
            remedy = (
                "remove it here and set the environment variable OPENAI_API_KEY, or the one that "
                "provider.api_key_env names; replace the key if this file was shared"
            )
            yield loc, Fault(source.file, cause, remedy, line, column)


def _scalars(node: Node, loc: Loc) -> Iterator[tuple[Loc, Node]]:
    members: Any = ()
    if isinstance(node.value, dict):
        members = node.value.items()
    elif isinstance(node.value, list):
        members = enumerate(node.value)
    elif loc:
        yield loc, node
    for step, member in members:
        yield from _scalars(member, (*loc, step))


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise SpecError([Fault(str(path), _folder_said(path), _file_within(path))])
        if path.exists() and not path.is_file():
            raise SpecError([Fault(str(path), "this is not a regular file", "name an experiment file")])
        with path.open("rb") as handle:
            content = handle.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SpecError([Fault(str(path), "there is no such file", _files_near(path))]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([Fault(str(path), f"the file cannot be read: {reason}", "check its name and rights")]) from None
    if len(content) > LARGEST_FILE:
        cause = f"the file is larger than {LARGEST_FILE // 1_000_000} MB; that is no experiment file"
        raise SpecError(
            [Fault(str(path), cause, "name the YAML file; the table belongs into a file of its own (data.source)")]
        )
    return content


def _experiments_in(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(item for item in folder.iterdir() if item.suffix in {".yaml", ".yml"} and item.is_file())
    return []


def _folder_said(folder: Path) -> str:
    return (
        "this is a folder, not an experiment file"
        if _experiments_in(folder)
        else "this folder holds no experiment file"
    )


def _file_within(folder: Path) -> str:
    found = _experiments_in(folder)
    best = [item for item in found if item.name == "experiment.yaml"] or found
    if len(best) == 1:
        return f"name the file in it: {best[0]}"
    return "name an experiment file (.yaml); `batchflow init DIR` writes a study to start from"


def _files_near(path: Path) -> str:
    found = _experiments_in(path.parent)
    if len(found) == 1:
        return f"did you mean {found[0]}?"
    if found:
        return f"check the name; the YAML files there are {', '.join(item.name for item in found[:5])}"
    return "check the name and the folder; `batchflow init DIR` writes a study to start from"


def _decode(path: Path, content: bytes) -> SourceText:
    """The text of the file without a byte order mark."""
    body = content.removeprefix(_UTF8_BOM)
    utf16 = body.startswith(_UTF16)
    remedy = "in the editor: save with encoding UTF-8"
    if utf16 or (body[1:2] == b"\0" and body[:1] != b"\0"):
        raise SpecError([Fault(str(path), "the file is UTF-16 text; an experiment file is UTF-8", remedy)])
    try:
        return SourceText(str(path), body.decode())
    except UnicodeDecodeError as error:
        source = SourceText(str(path), body.decode(errors="replace"))
        offset = len(body[: error.start].decode())
        byte = body[error.start]
        raise SpecError([source.fault(offset, f"byte 0x{byte:02X} here is not UTF-8 text", remedy)]) from None
