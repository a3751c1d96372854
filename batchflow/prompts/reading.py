"""What a template reads, told before a row is rendered: members that an insert has not, and cells that are compared
with numbers, which they never equal.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import nodes

from batchflow.prompts.context import Members, Table, Values
from batchflow.prompts.near import closest

_EQUAL: Final = {"eq": "==", "ne": "!="}
_WITHIN: Final = {"in": "in", "notin": "not in"}
_NEVER: Final = frozenset({"eq", "in"})
_ASKING: Final = frozenset({"default", "d", "defined", "undefined"})  # filters and tests for what may not be there
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Absent:
    """A member that an insert has not. written: as the template most probably has it."""

    written: str
    cause: str
    remedy: str


def compared_with_numbers(tree: nodes.Template, columns: Collection[str]) -> Iterator[str]:
    """A word on every comparison of a bare cell with a number by == or != (or `in`): cells are text, so it is the same
    for every row.
    """
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    for compare in tree.find_all(nodes.Compare):
        for operand in compare.ops:
            sign, left, right = operand.op, compare.expr, operand.expr
            if len(compare.ops) > 1 or sign not in {*_EQUAL, *_WITHIN}:
                continue
            if sign in _EQUAL and _number(left) is not None:
                left, right = right, left
            name, number = _column(left, columns, stored), _numbers(right, several=sign in _WITHIN)
            if name is None or number is None:
                continue
            always = "never" if sign in _NEVER else "always"
            says = f"{name} {_EQUAL.get(sign) or _WITHIN[sign]} {number}"
            made = f"{name} | {'float' if '.' in number else 'int'}"
            yield f"`{says}` is {always} true, for cells are text; write {says.replace(name, made, 1)}"


def _column(node: nodes.Node, columns: Collection[str], stored: Collection[str]) -> str | None:
    """The column that an expression is, as it is written."""
    if isinstance(node, nodes.Name):
        return node.name if node.name in columns and node.name not in stored else None
    if isinstance(node, nodes.Getattr | nodes.Getitem) and _is_row(node.node):
        name = _step(node)
        return f'row["{name}"]' if name in columns else None
    return None


def _is_row(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "row"


def _number(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Neg) and (number := _number(node.node)) is not None:
        return f"-{number}"
    if isinstance(node, nodes.Const) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return str(node.value)
    return None


def _numbers(node: nodes.Node, *, several: bool) -> str | None:
    """The number, or the list of nothing but numbers, that an expression is."""
    if not several:
        return _number(node)
    if not isinstance(node, nodes.List | nodes.Tuple):
        return None
    numbers = [number for item in node.items if (number := _number(item)) is not None]
    return f"[{', '.join(numbers)}]" if numbers and len(numbers) == len(node.items) else None


def _step(node: nodes.Getattr | nodes.Getitem) -> Any:
    """The member that is read; None where only a row tells which."""
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) else None


def absent_members(tree: nodes.Template, inserts: Mapping[str, Any]) -> Iterator[Absent]:
    """Every member that is read of an insert and is in none of the values it could be read of. Whatever a template asks
    for first (`is defined`, `default`, an `if` about the insert) is left to it.
    """
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    yield from _Look({name: [value] for name, value in inserts.items() if name not in stored}).at(tree)


class _Look:
    """known: what a name may stand for, at this place of the template."""

    def __init__(self, known: Mapping[str, Sequence[Any]]) -> None:
        self._known = known

    def at(self, node: nodes.Node) -> Iterator[Absent]:
        match node:
            case nodes.For():
                yield from self._loop(node)
            case nodes.If() | nodes.CondExpr():
                yield from self.at(node.test)
                if not self._reads(node.test):
                    yield from self._each(child for child in node.iter_child_nodes(exclude=("test",)))
            case nodes.And() | nodes.Or():
                yield from self.at(node.left)
                if not self._reads(node.left):
                    yield from self.at(node.right)
            case nodes.Filter() | nodes.Test() if node.name in _ASKING:
                yield from self._each(node.args)
            case nodes.Getattr() | nodes.Getitem() if (absent := self._absent(node)) is not None:
                yield absent
            case _:
                yield from self._each(node.iter_child_nodes())

    def _each(self, found: Iterator[nodes.Node] | Sequence[nodes.Node]) -> Iterator[Absent]:
        for node in found:
            yield from self.at(node)

    def _loop(self, loop: nodes.For) -> Iterator[Absent]:
        yield from self.at(loop.iter)
        targets = {
            name.name for name in (loop.target, *loop.target.find_all(nodes.Name)) if isinstance(name, nodes.Name)
        }
        inner = {name: values for name, values in self._known.items() if name not in targets}
        lists = self.values(loop.iter)
        if isinstance(loop.target, nodes.Name) and lists and all(isinstance(each, Table | Values) for each in lists):
            inner[loop.target.name] = [member for each in lists for member in each]
        within = _Look(inner)
        if loop.test is not None:
            yield from within.at(loop.test)
            if within._reads(loop.test):
                return
        yield from within._each(loop.body)
        yield from self._each(loop.else_)

    def _reads(self, node: nodes.Node) -> bool:
        """Whether an expression asks about an insert."""
        names = [*([node] if isinstance(node, nodes.Name) else []), *node.find_all(nodes.Name)]
        return any(name.name in self._known for name in names)

    def values(self, node: nodes.Node) -> Sequence[Any]:
        """What an expression may give; nothing where that is not known."""
        if isinstance(node, nodes.Name):
            return self._known.get(node.name, ())
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            step = _step(node)
            of = self.values(node.node)
            members = [each[step] for each in of if isinstance(each, Members) and step in each]
            return members or [
                each[step]
                for each in of
                if isinstance(each, Table | Values) and isinstance(step, int) and -len(each) <= step < len(each)
            ]
        return ()

    def _absent(self, node: nodes.Getattr | nodes.Getitem) -> Absent | None:
        of, step, whole = self.values(node.node), _step(node), _written(node.node)
        if not of or not isinstance(step, str) or self.values(node):
            return None
        kind = dict if all(isinstance(each, Members) for each in of) else list
        if not all(isinstance(each, kind) for each in of) or (isinstance(node, nodes.Getattr) and hasattr(kind, step)):
            return None  # a method, such as items()
        if kind is list:
            remedy = f"write {{% for each in {whole} %}}{{{{ each.{step} }}}}{{% endfor %}}"
            return Absent(_written(node), f"{whole} is a list, which has no {step!r}", remedy)
        names = list(dict.fromkeys(name for each in of for name in each))
        meant = closest(step, names)
        listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        remedy = (f"did you mean {whole}.{meant}? " if meant else "") + f"{whole} has {listed or 'nothing'}"
        return Absent(_written(node), f"{whole} has no {step!r}", remedy)


def _written(node: nodes.Node) -> str:
    """An expression of names and members as it is mostly written."""
    if isinstance(node, nodes.Getattr):
        return f"{_written(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        return f"{_written(node.node)}[{_step(node)!r}]"
    return node.name if isinstance(node, nodes.Name) else "it"
