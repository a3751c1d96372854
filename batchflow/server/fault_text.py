"""Faults as they are written: a YAML or JSON file with the place of every rule, or one line of a batch's metadata."""

import json
from pathlib import Path
from typing import Any

from batchflow.errors import Fault, InvalidInput

Places = dict[tuple[int, str], tuple[int, int]]  # (rule from 0, its key or "") -> line and column from 1


def parse(path: Path) -> tuple[Any, Places]:
    """The content of a faults file; places are known for YAML. Raises InvalidInput and OSError."""
    content = path.read_bytes()
    if path.suffix == ".json":
        try:
            return json.loads(content), {}
        except (ValueError, RecursionError) as error:
            raise InvalidInput([Fault(str(path), f"this is not JSON: {error}", "mend it, or write YAML")]) from error
    import yaml  # noqa: PLC0415 - most servers commit no faults and start without it

    class Loader(yaml.SafeLoader):
        """YAML in which `on` is a word, not a truth value."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        node = yaml.compose(content, Loader)
        _refuse_doubles(path, node)
        return yaml.load(content, Loader), _places(node)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(
            [Fault(str(path), f"this is not YAML: {error}", "mend it at the place that is named")]
        ) from error


def _rules(node: Any) -> list[Any]:
    """The nodes of the rules, which may stand under one key."""
    if node is not None and node.id == "mapping" and len(node.value) == 1:
        node = node.value[0][1]
    return list(node.value) if node is not None and node.id == "sequence" else []


def _refuse_doubles(path: Path, node: Any) -> None:
    """YAML takes the last of two equal keys: one of the two was meant otherwise."""
    for rule in _rules(node):
        seen: set[str] = set()
        for key, _ in rule.value if rule.id == "mapping" else []:
            name = str(key.value)
            if name in seen:
                raise InvalidInput([Fault(str(path), f"`{name}` stands twice in one rule", "keep one", *_place(key))])
            seen.add(name)


def _places(node: Any) -> Places:
    """Where the rules and their keys stand, from YAML's own nodes."""
    found: Places = {}
    for index, rule in enumerate(_rules(node)):
        found[index, ""] = _place(rule)
        if rule.id == "mapping":
            found |= {(index, str(key.value)): _place(key) for key, _ in rule.value}
    return found


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def parse_short(text: str) -> list[Any]:
    """The rules of one batch: JSON (a rule or a list of rules), or `name key=value key=value; name`. ValueError."""
    if text.lstrip()[:1] in {"{", "["}:
        try:
            rules = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is not JSON: {error}") from error
        return rules if isinstance(rules, list) else [rules]
    return [_short_rule(part) for part in text.split(";") if part.strip()]


def _short_rule(text: str) -> dict[str, Any]:
    name, *pairs = text.split()
    rule: dict[str, Any] = {"fault": name}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"`{pair}` is not `key=value`")
        values = [_scalar(part) for part in value.split(",")]
        rule[key] = values[0] if len(values) == 1 else values
    return rule


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
