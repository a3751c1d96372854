"""What a delimited text file says, to the letter: records, their physical lines, and where it is broken.

This is the definition of the format. It is exact and slow; `survey` finds in one quick pass whether a file is so
plain that a faster reader may be trusted with it.

A record ends at a newline (LF or CRLF) outside quotes; lines with nothing on them are skipped. A field whose first
character other than a blank is a quote is quoted: its value is what stands between the quotes, `""` in it being one
quote, and blanks outside the quotes are not part of it. Any other field is taken as it stands. An empty field is
missing (None); the quoted empty text is the empty text.
"""

import codecs
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from batchflow.errors import DataError, Fault

BOM: Final = codecs.BOM_UTF8
BLOCK: Final = 1 << 20
_BLANK: Final = ("", "\n", "\r\n")
SAVE_AS_UTF8: Final = "save the file as UTF-8 (Excel: Save As, 'CSV UTF-8')"
NAME_ENCODING: Final = f"write its encoding under `data:`, e.g. `encoding: windows-1252`, or {SAVE_AS_UTF8}"
MAX_RECORD: Final = 64_000_000  # bytes; a quote that is never closed must not read the whole file into memory


class Record(NamedTuple):
    """One record: the physical line it begins on, its values (None = missing), whether each was written with a
    blank at its beginning, and the first line of it for excerpts.
    """

    line: int
    values: tuple[str | None, ...]
    blanks: tuple[bool, ...]
    excerpt: str


class Survey(NamedTuple):
    """What one pass over the bytes shows. `plain`: any careful reader agrees on what the file says. `samples`: some
    row of every megabyte by its number, as a hash of its values, to find out whether another reader lost its way.
    """

    sha256: str
    records: int
    delimiters: int
    quotes: bool
    crlf: bool
    plain: bool
    samples: dict[int, bytes]


class Scanner:
    """Reads records one after the other; faults that leave the rest readable are kept in `faults`."""

    def __init__(self, handle: BinaryIO, delimiter: str, shown: str, *, drop_blank: bool = False) -> None:
        self.faults: list[Fault] = []
        self._lines = lines(handle, shown)
        self._shown = shown
        self._drop_blank = drop_blank
        sign = re.escape(delimiter)
        self._delimiter = delimiter
        self._plain = re.compile(rf"[^{sign}\r\n]*")
        self._quoted = re.compile(r' *"')
        self._ended = re.compile(rf" *(?={sign}|\r?\n|\Z)")

    def __iter__(self) -> Iterator[Record]:
        for line, text in self._lines:
            if text not in _BLANK:
                yield self._record(line, text)

    def judged(self, width: int) -> Iterator[tuple[list[Fault], Record | None]]:
        """Every record with what is wrong with it; without a record where the rest cannot be read."""
        records = iter(self)
        while True:
            try:
                record = next(records, None)
            except DataError as error:
                yield list(error.faults), None
                return
            if record is None:
                return
            found = self.faults[:]
            self.faults.clear()
            if not found and len(record.values) != width:
                found = [_ragged(self._shown, record, width)]
            yield found, record

    def more(self) -> bool:
        """Whether anything follows; what follows is used up by the question."""
        return any(text not in _BLANK for _, text in self._lines)

    def _record(self, line: int, text: str) -> Record:
        values: list[str | None] = []
        blanks: list[bool] = []
        current, position, number = text, 0, line
        while True:
            opening = self._quoted.match(current, position)
            if opening:
                opened = number
                value, number, current, position = self._inside(number, current, opening.end())
                # a blank before the quote is the one that is dropped
                spaced = opening[0][0] == " "
                blanks.append(spaced or value.startswith(" "))
                values.append(value if spaced or not self._drop_blank else value.removeprefix(" "))
                position = self._after_quote(opened, number, current, position)
            else:
                end = self._plain.match(current, position).end()  # type: ignore[union-attr] # matches anything
                bare = current[position:end]
                blanks.append(bare.startswith(" "))
                values.append((bare.removeprefix(" ") if self._drop_blank else bare) or None)
                position = end
            if not current.startswith(self._delimiter, position):
                break
            position += 1
        self._check_end(number, current, position)
        return Record(line, tuple(values), tuple(blanks), text.rstrip("\r\n"))

    def _inside(self, number: int, current: str, start: int) -> tuple[str, int, str, int]:
        """The text between quotes, which may run over several lines; then the line and position after it."""
        opened, column, first, parts, size = number, start, current, [], 0
        while True:
            end = _closing(current, start)
            parts.append(current[start : len(current) if end is None else end])
            if end is not None:
                return "".join(parts).replace('""', '"'), number, current, end + 1
            size += len(parts[-1])
            following = next(self._lines, None) if size <= MAX_RECORD else None
            if following is None:
                limit = f" within {MAX_RECORD // 1_000_000} MB" if size > MAX_RECORD else " before the end of the file"
                raise DataError([self._unclosed(opened, column, first, limit)])
            (number, current), start = following, 0

    def _unclosed(self, line: int, column: int, excerpt: str, limit: str) -> Fault:
        return Fault(
            self._shown,
            f"a quote is opened here and not closed{limit}",
            'close the quote; a quote inside a quoted value is written twice: "She said ""yes"""',
            line,
            column,
            excerpt.rstrip("\r\n"),
        )

    def _after_quote(self, opened: int, number: int, current: str, position: int) -> int:
        ended = self._ended.match(current, position)
        if ended:
            return ended.end()
        if not current.startswith("\r", position):
            began = "" if opened == number else f"; the quoted value began in line {opened}"
            self.faults.append(
                Fault(
                    self._shown,
                    f"there is text after a closing quote{began}",
                    'a quote inside a quoted value is written twice: "She said ""yes"""',
                    number,
                    position + 1,
                    current.rstrip("\r\n"),
                )
            )
        return self._plain.match(current, position).end()  # type: ignore[union-attr] # matches anything

    def _check_end(self, number: int, current: str, position: int) -> None:
        if current[position:] in {"", "\n", "\r\n"}:
            return
        self.faults.append(_lone_return(self._shown, number, position + 1, current))


def _ragged(shown: str, record: Record, width: int) -> Fault:
    found = len(record.values)
    remedy = 'put a value that holds the separator or a line break in quotes: "Lee, Mia"'
    if found < width:
        remedy = "write every separator, also of an empty cell, and quotes around a value that holds a line break"
    values, columns = "value" if found == 1 else "values", "column" if width == 1 else "columns"
    cause = f"{found} {values} here, but the header has {width} {columns}"
    return Fault(shown, cause, remedy, record.line, None, record.excerpt)


def _lone_return(shown: str, line: int, column: int, text: str) -> Fault:
    return Fault(
        shown,
        "a carriage return (CR) stands here without a line feed (LF)",
        "save the file with Windows (CRLF) or Unix (LF) line ends; inside a value, put the value in quotes",
        line,
        column,
        text.rstrip("\r\n"),
    )


def _closing(text: str, start: int) -> int | None:
    """Position of the quote that closes a value; a doubled quote does not."""
    while True:
        end = text.find('"', start)
        if end < 0:
            return None
        if not text.startswith('""', end):
            return end
        start = end + 2


def lines(handle: BinaryIO, shown: str, remedy: str = NAME_ENCODING) -> Iterator[tuple[int, str]]:
    """Physical lines with their numbers, their ends kept; broken UTF-8 is a fault, to be mended by the remedy."""
    for number, raw in enumerate(handle, start=1):
        content = raw.removeprefix(BOM) if number == 1 else raw
        try:
            yield number, content.decode()
        except UnicodeDecodeError as error:
            raise DataError([_not_utf8(shown, number, content, error.start, remedy)]) from None


def _not_utf8(shown: str, number: int, raw: bytes, start: int, remedy: str) -> Fault:
    before = raw[:start].decode("utf-8", "replace")
    guess = raw[start : start + 1].decode("cp1252", "replace")
    likely = f"; in Windows-1252 or Latin-1 it would be {guess!r}" if guess.isprintable() and guess != "\ufffd" else ""
    return Fault(
        shown,
        f"the file is not UTF-8: the byte 0x{raw[start]:02X} cannot stand here{likely}",
        remedy,
        number,
        len(before) + 1,
        raw.decode("utf-8", "replace").rstrip("\r\n"),
    )


def check_start(path: Path, shown: str) -> None:
    """Refuse what is no UTF-8 text from its first bytes on. Errors: DataError."""
    with path.open("rb") as handle:
        first = handle.read(4096)
    if first[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise DataError([_utf16(shown)])
    if b"\0" in first:
        raise DataError([_nul(path, shown)])


def header_text(path: Path, shown: str) -> str:
    """The physical lines of the first record that says anything, before it is known what separates its fields."""
    text = ""
    with path.open("rb") as handle:
        for _, line in lines(handle, shown):
            text += "" if not text and line in _BLANK else line
            if text and text.count('"') % 2 == 0:
                break
            if len(text) > MAX_RECORD:
                break
    return text


def check_bytes(path: Path, shown: str) -> str:
    """sha256 of the file, in hex, once its bytes are known to be UTF-8 text without NUL."""
    check_start(path, shown)
    digest, decoder = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as handle:
        try:
            while block := handle.read(BLOCK):
                digest.update(block)
                if b"\0" in block:
                    raise DataError([_nul(path, shown)])
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            handle.seek(0)
            for _ in lines(handle, shown):  # raises at the line
                pass
            raise
    return digest.hexdigest()


def _utf16(shown: str) -> Fault:
    return Fault(
        shown,
        "the file is not UTF-8 but UTF-16 (Excel's 'Unicode text')",
        f"write `encoding: utf-16` under `data:`, or {SAVE_AS_UTF8}",
        1,
        1,
    )


def _nul(path: Path, shown: str) -> Fault:
    with path.open("rb") as handle:
        number, raw = next((number, raw) for number, raw in enumerate(handle, start=1) if b"\0" in raw)
    column = len(raw[: raw.index(b"\0")].decode("utf-8", "replace")) + 1
    return Fault(
        shown,
        "the file holds a NUL byte (0x00), which no text has",
        "save the file as UTF-8 text; a spreadsheet or a damaged file is not a CSV file",
        number,
        column,
        raw.decode("utf-8", "replace").rstrip("\r\n"),
    )


def survey(path: Path, delimiter: str, shown: str, *, drop_blank: bool) -> Survey:
    """One pass over the bytes: sha256, number of records (header included) and of delimiters outside quotes.

    Errors: DataError where the bytes are not UTF-8 text.
    """
    sha256 = check_bytes(path, shown)
    sign = delimiter.encode()
    # once every quoted stretch is a single quote, a plain file has quotes at the edges of fields only
    odd = re.compile(rb'"(?:[^%s\r\n]|(?<=[^%s\n]"))' % (re.escape(sign), re.escape(sign)))
    records = delimiters = lf = crlf = cr = 0
    plain, quotes = True, False
    samples: dict[int, bytes] = {}
    for piece in _balanced(path):
        outside, quoted = piece, piece.count(b'"')
        if quoted:
            outside = re.sub(rb'""+', b'"', re.sub(rb'"[^"]*"', b'"', piece))
            quotes = True
            plain = plain and quoted % 2 == 0 and not odd.search(outside)
        plain = plain and (records > 0 or not outside.startswith((b"\r", b"\n")))
        if plain:
            scanner = Scanner(io.BytesIO(piece), delimiter, shown, drop_blank=drop_blank)
            # the header is no row
            for number, record in enumerate(islice(scanner, 2 - bool(records)), start=records):
                samples[number] = sample(record.values)
        lf, crlf, cr = lf + outside.count(b"\n"), crlf + outside.count(b"\r\n"), cr + outside.count(b"\r")
        records += _lines(outside)
        delimiters += outside.count(sign)
    plain = plain and cr == crlf and crlf in {0, lf}
    samples.pop(0, None)
    return Survey(sha256, records, delimiters, quotes, crlf > 0, plain, samples)


def _lines(outside: bytes) -> int:
    """Lines with something on them."""
    text = outside.replace(b"\r\n", b"\n")
    if not text or text.startswith(b"\n") or b"\n\n" in text:
        lines = text.split(b"\n")
        return len(lines) - lines.count(b"")
    return text.count(b"\n") + (not text.endswith(b"\n"))


def sample(values: Sequence[str | None]) -> bytes:
    return hashlib.sha256(repr(tuple(values)).encode("utf-8", "surrogatepass")).digest()[:8]


def _balanced(path: Path) -> Iterator[bytes]:
    """The file in pieces that end after a newline outside quotes (the last one, and one without such, as it is)."""
    with path.open("rb") as handle:
        rest = handle.read(len(BOM)).removeprefix(BOM)
        while block := handle.read(BLOCK):
            rest += block
            cut = _last_newline_outside(rest)
            if cut or len(rest) > MAX_RECORD:
                yield rest[: cut or len(rest)]
                rest = rest[cut or len(rest) :]
        if rest:
            yield rest


def _last_newline_outside(content: bytes) -> int:
    """Position after the last newline that an even number of quotes precedes; 0 if there is none."""
    outside, end = content.count(b'"') % 2 == 0, len(content)
    while True:
        quote = content.rfind(b'"', 0, end)
        if outside:
            newline = content.rfind(b"\n", quote + 1, end)
            if newline >= 0:
                return newline + 1
        if quote < 0:
            return 0
        outside, end = not outside, quote
