"""Text files that people write: read as UTF-8, and as YAML, with a fault at the place of what is wrong."""

import codecs
from pathlib import Path

from batchflow.errors import Fault, TemplateError
from batchflow.spec.places import Places
from batchflow.spec.source_text import SourceText
from batchflow.spec.yaml_faults import NotReadable, refuse_damaged


def read_text(path: Path, shown: str) -> str:
    """The text without a byte order mark. `shown`: the path as written. Errors: TemplateError."""
    if not path.is_file():
        remedy = "paths count from the folder of the experiment file"
        raise TemplateError([Fault(shown, "there is no such file", remedy)])
    content = path.read_bytes()
    if content[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise TemplateError([Fault(shown, "the file is not UTF-8 but UTF-16", "save it as UTF-8", 1, 1)])
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        line = content[line_start:].split(b"\n", 1)[0].rstrip(b"\r")
        fault = Fault(
            shown,
            f"the file is not UTF-8: the byte 0x{content[error.start]:02X} cannot stand here",
            f"save the file as UTF-8, or: iconv -f WINDOWS-1252 -t UTF-8 old{path.suffix} > new{path.suffix}",
            content.count(b"\n", 0, error.start) + 1,
            len(content[line_start : error.start].decode("utf-8", "replace")) + 1,
            line.decode("utf-8", "replace"),
        )
        raise TemplateError([fault]) from None


def read_yaml(source: SourceText) -> Places:
    """The values of a YAML text and their places. Errors: TemplateError with all faults found."""
    from batchflow.spec.yaml_tree import read_tree  # noqa: PLC0415 - yaml only where it is needed

    try:
        refuse_damaged(source)
        root, faults = read_tree(source)
    except NotReadable as problem:
        raise TemplateError([problem.fault]) from None
    if faults:
        raise TemplateError(sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0)))
    return Places(source, root)
