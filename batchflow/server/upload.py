"""A multipart upload, taken apart as it arrives: small fields into memory, the file straight to its sink."""

from collections.abc import Callable
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from batchflow.server.wire import ApiError, missing

MAX_FILE: Final = 512_000_000
_MAX_FIELD: Final = 65_536


def _malformed(why: str) -> ApiError:
    return ApiError(400, f"The multipart form could not be read: {why}")


class UploadParser:
    """Feed it the body in pieces of any size; `fields` and `filename` are there after `finish`."""

    def __init__(self, content_type: str, sink: Callable[[bytes], None]) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise _malformed("the content type must be multipart/form-data with a boundary")
        self._sink = sink
        self._size = 0
        self._ended = False
        self._name = ""
        self._is_file = False
        self._value = bytearray()
        self._header = (bytearray(), bytearray())
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_part_data": self._data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def finish(self) -> None:
        if not self._ended:
            raise _malformed("it ends before its last boundary")
        if self.filename is None:
            raise missing("file")

    def _begin(self) -> None:
        self._name, self._is_file = "", False
        self._value.clear()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        name, value = (bytes(part) for part in self._header)
        for part in self._header:
            part.clear()
        if name.lower() != b"content-disposition":
            return
        _, options = parse_options_header(value)
        self._name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options and self._name == "file":
            if self.filename is not None:
                raise _malformed("it holds more than one file")
            self.filename = options[b"filename"].decode(errors="replace")
            self._is_file = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > MAX_FILE:
            raise ApiError(413, f"The file is larger than {MAX_FILE:,} bytes.")
        if self._is_file:
            self._sink(data[start:end])
        elif len(self._value) + end - start > _MAX_FIELD:
            raise _malformed(f"the field {self._name!r} is too long")
        else:
            self._value.extend(data[start:end])

    def _part_end(self) -> None:
        if not self._is_file:
            self.fields[self._name] = self._value.decode(errors="replace")

    def _end(self) -> None:
        self._ended = True
