"""Compiles a body for the columns there are, and finds everything that would go wrong before a row is read."""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from batchflow.errors import Fault, TemplateError
from batchflow.identity import json_bytes, json_text, sha256_hex
from batchflow.prompts import slots as find
from batchflow.prompts.body import Body, Path, Place, Text, Value
from batchflow.prompts.check import check_body, listed_images
from batchflow.prompts.context import Insert
from batchflow.prompts.template import LogicSlot, RowFault, RowFaults, Slot, Template, TextSlot, ValueSlot
from batchflow.prompts.values import NotAValue, result_value
from batchflow.spec.endpoints import CHAT

if TYPE_CHECKING:
    from batchflow.prompts.logic import Logic, Program

__all__ = ["RowFault", "RowFaults", "Template", "compile_template"]

SHOWN_FAULTS: Final = 20
_PROMPTS: Final = frozenset({"messages", "input", "prompt", "instructions"})  # keys of a body
_SLOT: Final = re.compile(r"\{\{[^{}\n]{1,80}\}\}|\{%[^{}\n]{1,80}%\}")  # in an insert
_SINGLE: Final = re.compile(r"(?<!\{)\{([^{}\n]+)\}(?!\})")
_JINJA_SIGNS: Final = re.compile(
    r"(\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL
)


def compile_template(
    body: Body,
    columns: Sequence[str],
    endpoint: str = CHAT,
    context: Mapping[str, Insert] = MappingProxyType({}),
    withheld: Collection[str] = (),
) -> Template:
    """The template of a body for an endpoint and a table with these columns (header names). context: inserts by name,
    none of them that of a column. withheld: columns that no slot may read.

    Errors: TemplateError with up to 20 faults, each at its place in the user's file.
    """
    compiler = _Compiler(body, columns, context, withheld)
    compiler.value(body.root, ())
    faults = [body.fault(Place(each.path), each.cause, each.remedy) for each in check_body(body.root, endpoint)]
    faults += compiler.faults
    if faults:
        faults.sort(key=lambda fault: (fault.line or 0, fault.column or 0))
        raise TemplateError(faults[:SHOWN_FAULTS], total=len(faults))
    return compiler.finish()


def _is_read(path: Path) -> bool:
    """Whether a text in a body is there for a model to read, and decides nothing else."""
    inner = next((step for step in reversed(path) if isinstance(step, str)), "")
    return path[0] in _PROMPTS and inner in {*_PROMPTS, "content", "text"}


class _Compiler:
    """Walks the body once and collects constants, slots, faults and notes."""

    def __init__(
        self, body: Body, columns: Sequence[str], context: Mapping[str, Insert], withheld: Collection[str]
    ) -> None:
        self.faults: list[Fault] = []
        self._notes: dict[str, None] = {}
        self._body, self._columns = body, tuple(columns)
        self._known, self._withheld = frozenset(columns), frozenset(withheld)
        self._context, self._inserted = context, set[str]()
        self._constants: list[list[str]] = [[]]
        self._slots: list[Slot] = []
        self._texts = True
        self._jinja: Logic | None = None

    def finish(self) -> Template:
        constants = ["".join(parts) for parts in self._constants]
        canonical: list[Any] = [constants[0]]
        for slot, constant in zip(self._slots, constants[1:], strict=True):
            canonical += [slot.canonical(), constant]
        used = {column for slot in self._slots for column in slot.columns}
        unused = [name for name in self._context if name not in self._inserted]
        if unused:
            self._notes[f"inserts (`context`) that no prompt uses: {', '.join(unused)}"] = None
        for name in self._context:
            if name in self._inserted and (found := _SLOT.search(self._context[name].text)):
                note = f"inserts are sent as they stand: {found[0]} in {name!r} is not filled"
                self._notes[note] = None
        for key, unused_slot in self._body.replaced_slots():
            self._notes[f"`{key}` is set beside the template, whose {unused_slot} is not used"] = None
        model = self._body.root["model"]
        return Template(
            constants=tuple(constant.encode() for constant in constants),
            slots=tuple(self._slots),
            columns=tuple(column for column in self._columns if column in used),
            unused=tuple(column for column in self._columns if column not in used),
            digest=sha256_hex(json_bytes(canonical)),
            model=model.text if isinstance(model, Text) else model,
            notes=(*self._notes, *listed_images(self._body.root)),
            texts=self._texts,
        )

    def value(self, node: Any, path: Path) -> None:
        if isinstance(node, Text):
            self._text(node.text, path)
        elif isinstance(node, Value):
            self._value_slot(find.classify(node.text, 0, len(node.text), self._known), path)
        elif isinstance(node, Mapping):
            self._object(node, path)
        elif isinstance(node, list | tuple):
            self._emit("[")
            for position, member in enumerate(node):
                self._emit("," if position else "")
                self.value(member, (*path, position))
            self._emit("]")
        else:
            self._literal(node, path)

    def _object(self, node: Mapping[Any, Any], path: Path) -> None:
        self._emit("{")
        for position, (key, member) in enumerate(node.items()):
            here = (*path, str(key))
            if not isinstance(key, str):
                self._fault(Place(here, key=True), f"the key {key!r} is not a text", f'put it in quotes: "{key}"')
            elif find.has_slot(key) or find.has_logic(key):
                cause = f"a slot cannot stand in a key ({key!r})"
                self._fault(Place(here, key=True), cause, "write the key as it is; slots belong into values")
            self._emit(("," if position else "") + json_text(str(key)) + ":")
            self.value(member, here)
        self._emit("}")

    def _literal(self, node: Any, path: Path) -> None:
        if isinstance(node, str) and find.has_slot(node):
            cause = f"parameters are plain values, not templates: {node!r} would be sent as it stands"
            self._fault(Place(path), cause, "write the slot into the template")
        try:
            self._emit(json_bytes(node).decode())
        except (TypeError, ValueError):
            self._fault(Place(path), f"{node!r} cannot be written as JSON", "write a text, number, true, false or null")

    def _emit(self, constant: str) -> None:
        self._constants[-1].append(constant)

    def _slot(self, slot: Slot, place: Place, text: str = "") -> None:
        """A slot at a place; of one that is a whole text, the place is where its column is named."""
        if kept := [column for column in slot.columns if column in self._withheld]:
            here = place._replace(offset=max(0, text.find(kept[0]))) if text else place
            them = f"the column{'s' * (len(kept) > 1)} {', '.join(map(repr, kept))}"
            cause = f"{them} must not leave this machine: not in `data.send`"
            self._fault(here, cause, "take it out of the prompt; what may leave, add to `data.send`")
        self._texts &= slot.is_text and _is_read(place.path)
        self._slots.append(slot)
        self._constants.append([])

    def _fault(self, place: Place, cause: str, remedy: str) -> None:
        self.faults.append(self._body.fault(place, cause, remedy))

    def _text(self, text: str, path: Path) -> None:
        if self._body.values_by == "filter" and (slot := self._whole_value(text)):
            self._value_slot(slot, path)
            return
        self._emit('"')
        if find.has_logic(text):
            self._template(text, path)
        else:
            self._pieces(text, path)
        self._emit('"')

    def _whole_value(self, text: str) -> find.Slot | None:
        """The one slot that a text of an inline template consists of, if it asks for a value."""
        bare = text.strip()
        slots = list(find.find_slots(bare, self._known)) if bare.startswith("{{") else []
        if len(slots) == 1 and isinstance(slots[0], find.Slot) and slots[0].end == len(bare):
            return slots[0] if find.split_kind(slots[0], self._known) else None
        return None

    def _pieces(self, text: str, path: Path) -> None:
        """A text without `{% %}`: what stands outside slots stays as it is, to the byte."""
        position, trim = 0, False
        for slot in find.find_slots(text, self._known):
            if not isinstance(slot, find.Slot):
                self._fault(Place(path, slot), "a slot is opened here and never closed", "close it with }}")
                return
            constant = text[position : slot.start]
            constant = constant.lstrip() if trim else constant
            self._constant(constant.rstrip() if slot.trim_before else constant, path)
            self._text_slot(slot, path)
            position, trim = slot.end, slot.trim_after
        self._constant(text[position:].lstrip() if trim else text[position:], path)

    def _constant(self, text: str, path: Path) -> None:
        self._emit(json_text(text)[1:-1])
        for match in _SINGLE.finditer(text):
            if (name := match[1].strip()) in self._known:
                note = f"{{{match[1]}}} in single braces is sent as it stands; a slot is written {{{{{name}}}}}"
                self._notes[f"{Place(path).words()}: {note}"] = None

    def _text_slot(self, slot: find.Slot, path: Path) -> None:
        if slot.what == "column":
            self._slot(TextSlot(slot.name), Place(path, slot.start))
        elif slot.what == "expression" and (insert := self._insert(slot)):
            self._emit(json_text(insert.text)[1:-1])
        elif slot.what == "expression":
            if split := find.split_kind(slot, self._known):
                self._fault(Place(path, slot.start), *self._misplaced(split[1]))
            else:
                self._logic(slot, path, "expression")
        elif slot.what != "comment":
            self._unusable(slot, path)

    def _misplaced(self, kind: str) -> tuple[str, str]:
        if self._body.values_by == "quotes":
            return f"inside quotes a slot is text, so `| {kind}` cannot work", f"delete the quotes and `| {kind}`"
        return f"`| {kind}` works only where the slot is the whole text", f"delete `| {kind}`, or the text around it"

    def _unusable(self, slot: find.Slot, path: Path) -> None:
        if slot.what == "section":
            cause = f"sections of mustache ({{{{{slot.name}}}}}) are written in Jinja here"
            self._fault(Place(path, slot.start), cause, f"write {find.in_jinja(slot.name)}")
        elif slot.what == "comment":
            self._fault(Place(path, slot.start), "a comment cannot stand for a value", "write a value")
        else:
            self._fault(Place(path, slot.start), "this slot is empty", "write the name of a column between {{ and }}")

    def _value_slot(self, slot: find.Slot, path: Path) -> None:
        bare, kind = find.split_kind(slot, self._known) or (slot, "scalar")
        if bare.what == "column":
            self._slot(ValueSlot(bare.name, kind), Place(path, slot.start))
        elif bare.what == "expression" and (insert := self._insert(bare)):
            self._insert_value(insert, kind, Place(path, slot.start))
        elif bare.what == "expression":
            self._logic(bare, path, kind)
        else:
            self._unusable(bare, path)

    def _insert(self, slot: find.Slot) -> Insert | None:
        """The insert that a slot is, which makes it a constant."""
        if slot.name in self._context:
            self._inserted.add(slot.name)
        return self._context.get(slot.name)

    def _insert_value(self, insert: Insert, kind: str, place: Place) -> None:
        try:
            self._emit((json_bytes(insert.value) if kind == "json" else result_value(insert.value, kind)).decode())
        except NotAValue as fault:
            self._fault(place, fault.cause, fault.remedy)

    def _of(self, source: str, kind: str, program: "Program", path: Path) -> LogicSlot:
        self._inserted.update(program.inserts)
        self._notes |= dict.fromkeys(f"{Place(path).words()}: {note}" for note in program.notes)
        return LogicSlot(source, kind, program, tuple((name, self._context[name].digest) for name in program.inserts))

    def _logic(self, slot: find.Slot, path: Path, kind: str) -> None:
        from batchflow.prompts.logic import LogicFault  # noqa: PLC0415 - jinja2 only where a slot needs it

        try:
            self._slot(self._of(slot.name, kind, self._compiled().expression(slot.name), path), Place(path, slot.start))
        except LogicFault as fault:
            self._fault(Place(path, slot.start), fault.cause, fault.remedy)

    def _template(self, text: str, path: Path) -> None:
        from batchflow.prompts.logic import LogicFault  # noqa: PLC0415 - jinja2 only where a slot needs it

        before = len(self.faults)
        source = "".join(
            part if odd % 2 else self._in_jinja(part, text, path) for odd, part in enumerate(_JINJA_SIGNS.split(text))
        )
        if len(self.faults) > before:
            return
        try:
            self._slot(self._of(source, "template", self._compiled().template(source), path), Place(path), text)
        except LogicFault as fault:
            self._fault(Place(path, max(0, text.find(fault.name))), fault.cause, fault.remedy)

    def _in_jinja(self, part: str, text: str, path: Path) -> str:
        """A stretch of a template with its slots as Jinja writes them."""
        source, position = "", 0
        for slot in find.find_slots(part, self._known):
            if not isinstance(slot, find.Slot):
                break  # Jinja says it
            source += part[position : slot.start]
            position = slot.end
            if slot.what in {"section", "empty"}:
                self._unusable(find.Slot(text.find(part) + slot.start, 0, slot.what, slot.name), path)
            elif slot.what != "comment":
                name = f"row[{slot.name!a}]" if slot.what == "column" else slot.name
                source += "{{" + "-" * slot.trim_before + f" {name} " + "-" * slot.trim_after + "}}"
        return source + part[position:]

    def _compiled(self) -> "Logic":
        if self._jinja is None:
            from batchflow.prompts.logic import Logic  # noqa: PLC0415 - jinja2 only where a slot needs it

            self._jinja = Logic(self._columns, self._context)
        return self._jinja
