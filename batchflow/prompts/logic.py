"""Jinja for slots that are more than a column: sandboxed, strict, and without anything that is not in the row.

Imported only by templates that need it.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import jinja2
from jinja2 import meta, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchflow.prompts.assemble import SEPARATOR, split_texts
from batchflow.prompts.context import Insert, Members, Table, Values
from batchflow.prompts.near import closest, no_column
from batchflow.prompts.scrutiny import absent_members, compared_with_numbers

MAX_RANGE: Final = 10_000
MAX_CHARACTERS: Final = 10_000_000
MAX_POWER: Final = 1000
MAX_AT_ONCE: Final = 40_000_000  # characters of many rows rendered together; more are rendered row by row
SHOWN_MEMBERS: Final = 10
_RETURN: Final = "\ue00d"  # stands for CR while Jinja, which makes LF of it, reads a template
_NAME_LIKE: Final = re.compile(r"[\w \-]+")
_ALIKE: Final = 0.8
_PRINTABLE: Final = (str, int, float)
_ROWS: Final = "rows_of_a_chunk"  # in the context alone: a column or a name of that name is another one
_OWN_SCOPE: Final = (nodes.Block, nodes.Macro, nodes.CallBlock)  # what might mean something else within a loop


class LogicFault(Exception):
    """The expression cannot work for any row. name: what to look for in the template, to point at it."""

    def __init__(self, cause: str, remedy: str, name: str = "") -> None:
        super().__init__(cause)
        self.cause, self.remedy, self.name = cause, remedy, name


@dataclass(frozen=True, slots=True)
class Program:
    """Something compiled. columns: those it reads, in the order of the header; inserts: those it reads, by name. notes:
    what its author may want to know. many: the same for many rows, a loop over tuples of the `variables`, with a
    separator after each row's text; None where only row by row is safe.
    """

    template: jinja2.Template
    columns: tuple[str, ...]
    inserts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    many: jinja2.Template | None = None
    variables: tuple[str, ...] = ()

    def text(self, values: Mapping[str, str]) -> str:
        """What a template with `{% … %}` gives for the cells of one row. Errors: any."""
        pieces, size = [], 0
        for piece in self.template.root_render_func(self._context(values)):
            size += len(piece)
            if size > MAX_CHARACTERS:
                raise jinja2.TemplateRuntimeError(f"the text is longer than {MAX_CHARACTERS:,} characters")
            pieces.append(piece)
        return "".join(pieces)

    def result(self, values: Mapping[str, str]) -> Any:
        """What an expression gives for the cells of one row. Errors: any."""
        context = self._context(values)
        for _ in self.template.root_render_func(context):
            pass
        result = context.vars["result"]
        if isinstance(result, jinja2.Undefined):
            raise jinja2.UndefinedError(result._undefined_message)  # noqa: SLF001 - as Jinja's own subclasses do
        return result

    def texts(self, cells: Mapping[str, Sequence[str]], count: int) -> list[str] | None:
        """What each of many rows gives as text, in one go; None where that cannot be had, for whatever reason: row by
        row will tell.
        """
        if self.many is None:
            return None
        whole = [{name: column[offset] for name, column in cells.items()} for offset in range(count * self._whole)]
        rows = zip(*(whole if name == "row" else cells[name] for name in self.variables), strict=True)
        pieces, size = [], 0
        try:
            for piece in self.many.root_render_func(self.many.new_context({_ROWS: rows})):
                size += len(piece)
                if size > MAX_AT_ONCE:
                    return None
                pieces.append(piece)
        except Exception:  # noqa: BLE001 - an expression of the user's may raise anything
            return None
        texts = split_texts("".join(pieces), count)
        return None if texts is None or max(map(len, texts), default=0) > MAX_CHARACTERS else texts

    @property
    def _whole(self) -> bool:
        return "row" in self.variables

    def _context(self, values: Mapping[str, str]) -> Context:
        return self.template.new_context({**_variables(values), "row": dict(values)})


def printed(result: Any) -> str:
    """A result as text. Errors: TemplateRuntimeError for what would not read as text or not be the same tomorrow."""
    text = str(_finalize(result))
    if len(text) > MAX_CHARACTERS:
        raise jinja2.TemplateRuntimeError(f"the text is longer than {MAX_CHARACTERS:,} characters")
    return text


def _finalize(value: Any) -> Any:
    if isinstance(value, jinja2.Undefined) or _is_printable(value):
        return value
    if value is None:
        raise jinja2.TemplateRuntimeError("the result is none, which is no text")
    kind = type(value).__name__
    raise jinja2.TemplateRuntimeError(f"the result is a {kind}, which is no text; `| join(', ')` makes one of a list")


def _is_printable(value: Any) -> bool:
    if isinstance(value, Members | Values | Table):
        return True
    if isinstance(value, list | tuple):
        return all(map(_is_printable, value))
    if isinstance(value, dict):
        return all(map(_is_printable, value)) and all(map(_is_printable, value.values()))
    return isinstance(value, _PRINTABLE) and value == value  # noqa: PLR0124 - NaN


def _range(*arguments: int) -> range:
    numbers = range(*arguments)
    if len(numbers) > MAX_RANGE:
        raise OverflowError(f"range gives at most {MAX_RANGE:,} numbers")
    return numbers


def _tojson(value: Any, indent: int | None = None) -> str:
    # Jinja's own writes `<` as \\u003c, for web pages
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


class _Undefined(jinja2.StrictUndefined):
    """In the author's words where it is a member that an insert has not."""

    @property
    def _undefined_message(self) -> str:
        if isinstance(self._undefined_obj, Members) and not self._undefined_hint:
            names = list(self._undefined_obj)
            return f"there is no member {self._undefined_name!r}; there are {', '.join(names[:SHOWN_MEMBERS])}"
        return str(super()._undefined_message)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        # `code.items` is the column of that name, if there is one
        return obj[attribute] if isinstance(obj, Members) and attribute in obj else super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(left) > 10**18 or abs(right) > MAX_POWER):
            raise OverflowError("the power is too large")
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if (
                    isinstance(many, str | list | tuple)
                    and isinstance(times, int)
                    and len(many) * times > MAX_CHARACTERS
                ):
                    raise OverflowError(f"the text is longer than {MAX_CHARACTERS:,} characters")
        return super().call_binop(context, operator, left, right)


def _environment() -> _Environment:
    environment = _Environment(
        undefined=_Undefined, autoescape=False, keep_trailing_newline=True, finalize=_finalize, cache_size=0
    )
    environment.globals.clear()
    environment.globals.update(range=_range, dict=dict)
    del environment.filters["random"]
    environment.filters["tojson"] = _tojson
    return environment


def _variables(columns: Collection[str] | Mapping[str, str]) -> dict[str, str]:
    """Cells whose column can be written as a name."""
    return {name: columns[name] if isinstance(columns, Mapping) else "" for name in columns if name.isidentifier()}


@dataclass(frozen=True, slots=True)
class _Many:
    """The tree of `Program.many`, and its variables."""

    tree: nodes.Template
    variables: tuple[str, ...]


class Logic:
    """Compiles the expressions and templates of one body, for the columns and inserts that there are."""

    def __init__(self, columns: Collection[str], context: Mapping[str, Insert] = MappingProxyType({})) -> None:
        self._columns = tuple(columns)
        # not among the environment's globals: names that stand there are not found in a tree any more
        self._inserts = {name: insert.value for name, insert in context.items()}
        self._environment = _environment()

    def expression(self, source: str) -> Program:
        """What stands between `{{` and `}}`. Errors: LogicFault."""
        try:
            tree = self._environment.parse("{{ " + source + "\n}}")
        except jinja2.TemplateSyntaxError as error:
            raise (self._no_column(source) if self._meant(source) else self._syntax(error)) from None
        output = tree.body[0]
        if len(tree.body) != 1 or not isinstance(output, nodes.Output) or len(output.nodes) != 1:
            raise LogicFault("this is not one expression", "write one expression between {{ and }}")
        notes = self._notes(tree)
        try:
            columns, inserts = self._check(tree)
        except LogicFault:
            # `{{Person-Id}}` is no subtraction if there is a column Person-ID
            if _NAME_LIKE.fullmatch(source) and closest(source, (*self._columns, *self._inserts), cutoff=_ALIKE):
                raise self._no_column(source) from None
            raise
        # of such an `if`, output makes an empty text; alone, it is no text at all
        many = None if any(each.expr2 is None for each in tree.find_all(nodes.CondExpr)) else self._many(tree, columns)
        assign = nodes.Assign(nodes.Name("result", "store", lineno=1), output.nodes[0], lineno=1)
        return self._program(nodes.Template([assign], lineno=1), columns, inserts, notes, many)

    def template(self, source: str) -> Program:
        """A whole text with `{% … %}`; what stands outside the signs of Jinja stays as it is. Errors: LogicFault."""
        try:
            tree = self._environment.parse(source.replace("\r", _RETURN))
        except jinja2.TemplateSyntaxError as error:
            raise self._syntax(error) from None
        for data in tree.find_all(nodes.TemplateData):
            data.data = data.data.replace(_RETURN, "\r")
        for constant in tree.find_all(nodes.Const):
            if isinstance(constant.value, str):
                constant.value = constant.value.replace(_RETURN, "\r")
        if any(tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends))):
            raise LogicFault("a template cannot take in other files", "write the text here", "{%")
        notes = self._notes(tree)
        columns, inserts = self._check(tree)
        return self._program(tree, columns, inserts, notes, self._many(tree, columns))

    def _many(self, tree: nodes.Template, columns: Sequence[str]) -> "_Many | None":
        """The tree within a loop over rows."""
        if not columns or any(tree.find_all(_OWN_SCOPE)):
            return None
        variables = [name for name in _variables(columns) if name != "row"]
        if any(name.name == "row" for name in tree.find_all(nodes.Name)):
            variables.append("row")
        if "loop" in variables or _ROWS in self._inserts:  # they would mean something else there
            return None
        target = nodes.Tuple([nodes.Name(name, "store", lineno=1) for name in variables], "store", lineno=1)
        ends = nodes.Output([nodes.TemplateData(SEPARATOR, lineno=1)], lineno=1)
        body = [*tree.body, ends]
        loop = nodes.For(target, nodes.Name(_ROWS, "load", lineno=1), body, [], None, False, lineno=1)
        return _Many(nodes.Template([loop], lineno=1), tuple(variables))

    def _notes(self, tree: nodes.Template) -> tuple[str, ...]:
        """To be asked first: what looks for names makes constants of lists."""
        return tuple(dict.fromkeys(compared_with_numbers(tree, self._columns)))

    def _program(
        self,
        tree: nodes.Template,
        columns: tuple[str, ...],
        inserts: tuple[str, ...],
        notes: tuple[str, ...],
        many: "_Many | None",
    ) -> Program:
        try:
            program = Program(self._loaded(tree), columns, inserts, notes)
            return program if many is None else replace(program, many=self._loaded(many.tree), variables=many.variables)
        except jinja2.TemplateError as error:
            raise LogicFault(_first_line(error), "correct the expression") from None
        except SyntaxError as error:
            raise LogicFault(f"this cannot be an expression: {error.msg}", "correct the expression") from None

    def _loaded(self, tree: nodes.Template) -> jinja2.Template:
        tree.set_environment(self._environment)
        return self._environment.from_string(tree, self._inserts)

    def _meant(self, source: str) -> bool:
        """Whether what is no expression was meant as the name of a column."""
        return bool(_NAME_LIKE.fullmatch(source) or closest(source, (*self._columns, *self._inserts), cutoff=_ALIKE))

    def _syntax(self, error: jinja2.TemplateSyntaxError) -> LogicFault:
        remedy = "write a column's name, or a Jinja expression like {{ Age | int + 1 }}"
        if "No filter" in str(error.message):
            remedy = "use a filter of Jinja, for example upper, lower, trim, replace, round, default, join"
        return LogicFault(f"this is no expression of Jinja: {error.message}", remedy, "{%")

    def _check(self, tree: nodes.Template) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns and the inserts that are read. Errors: LogicFault for a name that does not exist."""
        try:
            names = meta.find_undeclared_variables(tree) - set(self._environment.globals)
        except jinja2.TemplateSyntaxError as error:  # a filter or test that does not exist
            raise self._syntax(error) from None
        inserts = tuple(name for name in self._inserts if name in names)
        names.difference_update(inserts)
        known = set(_variables(self._columns))
        used = set(self._row_columns(tree)) if "row" in names else set()
        names.discard("row")
        for name in sorted(names):
            if name not in known:
                raise self._no_column(name)
        used |= names
        for absent in absent_members(tree, {name: self._inserts[name] for name in inserts}):
            raise LogicFault(absent.cause, absent.remedy, absent.written)
        return tuple(column for column in self._columns if column in used), inserts

    def _row_columns(self, tree: nodes.Template) -> Iterator[str]:
        """Columns that are read as `row["First Name"]` or `row.Name`; all of them where `row` is used otherwise."""
        plain = 0
        reads: Iterator[nodes.Getitem | nodes.Getattr] = tree.find_all((nodes.Getitem, nodes.Getattr))
        for node in reads:
            if not (isinstance(node.node, nodes.Name) and node.node.name == "row"):
                continue
            name = node.attr if isinstance(node, nodes.Getattr) else _constant(node.arg)
            if name in self._columns:
                yield name
                plain += 1
            elif name is not None and not (isinstance(node, nodes.Getattr) and hasattr(dict, name)):
                raise self._no_column(name)
        if plain < sum(node.name == "row" for node in tree.find_all(nodes.Name)):
            yield from self._columns

    def _no_column(self, name: str) -> LogicFault:
        return LogicFault(*no_column(name, self._columns, self._inserts), name)


def _constant(node: nodes.Expr) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def explain(error: Exception) -> str:
    """What went wrong in one row, in one line."""
    if isinstance(error, jinja2.TemplateError | OverflowError):
        return _first_line(error)
    return f"{type(error).__name__}: {_first_line(error)}"
