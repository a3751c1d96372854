"""A built run becomes one whose answers are all on disk, without a server: result lines and the journal's events.

python -m benchmarks.answers STUDY [--objects] [--bad]   objects: each answer is one of `studies.FIELDS`; bad: a line
that is cut off stands in each file as well.
"""

import argparse
import hashlib
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from batchflow.journal.events import Event
from batchflow.journal.journal import Journal
from benchmarks.studies import run_folder, shards

REFUSED_EVERY, FAILED_EVERY = 1000, 997
PROMPT_TOKENS, COMPLETION_TOKENS = 190, 60
_ID: Final = re.compile(rb'"custom_id":"([^"]+)"')
_MOMENT: Final = 1_795_914_051
_USAGE: Final = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_CHOICES: Final = ("kawaii", "cubs", "futuristic")
_REFUSAL: Final = "I'm sorry, but I can't help with that."
_HOLE = "@@"
_SAID: Final = b'"refusal": null'  # in an answer, not in an error


def _write(path: Path, lines: list[bytes]) -> dict[str, Any]:
    """A result file, and what its event says of it."""
    whole = b"".join(lines)
    path.write_bytes(whole)
    sha256 = hashlib.sha256(whole).hexdigest()
    odd = [number for number, line in enumerate(lines, start=1) if _SAID not in line or not line.endswith(b"}\n")]
    return {"name": path.name, "bytes": len(whole), "lines": len(lines), "sha256": sha256, "lost": False, "odd": odd}


def _line(status: int, body: dict[str, Any]) -> str:
    response = {"status_code": status, "request_id": f"req_{_HOLE}", "body": body}
    record = {"id": f"batch_req_{_HOLE}", "custom_id": _HOLE, "response": response, "error": None}
    return json.dumps(record) + "\n"


def _completion(content: str | None, refusal: str | None = None) -> list[str]:
    """The parts of a line around its id (thrice), custom_id and content."""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    body = {
        "id": f"chatcmpl-{_HOLE}",
        "object": "chat.completion",
        "created": _MOMENT,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_bench",
    }
    return _line(200, body).split(_HOLE)


_ANSWER: Final = _completion(_HOLE)
_REFUSED: Final = _completion(None, _REFUSAL)
_FAILED: Final = _line(
    400, {"error": {"message": "Invalid image.", "type": "invalid_request_error", "param": None, "code": "bad_image"}}
).split(_HOLE)


def content(number: int, *, objects: bool) -> str:
    """What the model says, escaped as inside JSON's quotes."""
    choice = _CHOICES[number * 7 % 3]
    if objects:
        why = f"As a person of habit {number} I like the {choice} one, the warmest of the three."
        text = json.dumps({"why": why, "choice": choice, "score": 1 + number % 7})
    else:
        text = (
            f"The image that I find the most appealing is '{choice}' (number {number}). Its colours are warm, a shape "
            'is easy to read from afar, it would look "right" on a shelf at home.\nNext to it the others look '
            "ordinary; I would buy it for my friends, too: très chic."
        )
    return json.dumps(text)[1:-1]


def result_lines(custom_ids: list[str], *, objects: bool) -> tuple[list[bytes], list[bytes], dict[str, int]]:
    """The lines of the output and error file, and how many requests have which outcome."""
    output, errors = [], []
    counts = {"answered": 0, "error": 0, "refused": 0}
    for custom_id in custom_ids:
        number = int(custom_id.partition("-")[0])
        name = f"{number:032x}"
        if number % FAILED_EVERY == 0:
            errors.append(f"{_FAILED[0]}{name}{_FAILED[1]}{custom_id}{_FAILED[2]}{name}{_FAILED[3]}".encode())
            counts["error"] += 1
            continue
        refused = number % REFUSED_EVERY == 0
        parts = _REFUSED if refused else _ANSWER
        said = "" if refused else content(number, objects=objects) + parts[5]
        head = f"{parts[0]}{name}{parts[1]}{custom_id}{parts[2]}{name}{parts[3]}{name}{parts[4]}"
        output.append(f"{head}{said}".encode())
        counts["refused" if refused else "answered"] += 1
    return output, errors, {kind: count for kind, count in counts.items() if count}


def _custom_ids(shard: Path) -> list[str]:
    with shard.open("rb") as handle:
        return [match[1].decode() for line in handle if (match := _ID.search(line[:200])) is not None]


def finish_shard(shard: Path, folder: Path, number: int, *, objects: bool, bad: bool) -> list[Event]:
    """Write a shard's answers, out of order; the events of its life."""
    custom_ids = _custom_ids(shard)
    random.Random(number).shuffle(custom_ids)
    output, errors, final = result_lines(custom_ids, objects=objects)
    if bad:
        output.insert(len(output) // 2, output[0][: len(output[0]) // 2] + b"\n")
    files = {
        kind: _write(folder / f"{shard.stem}.{kind}.jsonl", lines)
        for kind, lines in (("output", output), ("error", errors))
        if lines
    }
    return list(_life(number, shard.stat().st_size, files, final, bad=bad))


def _life(
    number: int, size: int, files: dict[str, dict[str, Any]], final: dict[str, int], *, bad: bool
) -> Iterator[Event]:
    batch, ids = f"batch_{number:032x}", {kind: f"file-{kind}-{number}" for kind in files}
    asked = sum(final.values())
    told = asked - final.get("error", 0)
    tokens = {"prompt_tokens": PROMPT_TOKENS * told, "completion_tokens": COMPLETION_TOKENS * told}

    def event(step: str, kind: str, **payload: Any) -> Event:
        return Event(kind, payload, step=step, round=1, shard=number)

    yield event("upload", "uploaded", file_id=f"file-{number}", bytes=size, created_at=float(_MOMENT))
    yield event("start", "intent", intent=f"{number:032x}", file_id=f"file-{number}")
    yield event("start", "receipt", intent=f"{number:032x}", batch_id=batch, adopted=False)
    yield event(
        "poll",
        "batch",
        batch_id=batch,
        status="completed",
        ended=True,
        output_file_id=ids.get("output"),
        error_file_id=ids.get("error"),
        errors=[],
        moments={"created_at": float(_MOMENT), "completed_at": float(_MOMENT + 60)},
        counts={"total": asked, "completed": told, "failed": asked - told},
        tokens={"input_tokens": tokens["prompt_tokens"], "output_tokens": tokens["completion_tokens"]},
    )
    lines = {"doubled": 0, "conflicting": 0, "unknown": 0, "unreadable": int(bad), "out_of_money": 0}
    free = {"input": [[0, 0.0]], "output": [[0, 0.0]]}
    yield event(
        "collect",
        "collected",
        batch_id=batch,
        files=list(files.values()),
        account={"final": final, "owed": {}, **lines, "plain": final["answered"]},
        cost={"usd": 0.0, "unpriced": 0, **tokens, "prices": free, "source": "simulated"},
    )


def finish(study: Path, *, objects: bool = False, bad: bool = False) -> None:
    """Give a built run its answers."""
    run = run_folder(study)
    (run / "responses").mkdir(exist_ok=True)
    journal, _ = Journal.take_over(run / "journal.jsonl")
    for shard in shards(study):
        number = int(shard.stem.partition("-")[2])
        journal.append(finish_shard(shard, run / "responses", number, objects=objects, bad=bad))
    journal.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--objects", action="store_true")
    parser.add_argument("--bad", action="store_true")
    told = parser.parse_args()
    finish(told.study, objects=told.objects, bad=told.bad)
    return 0


if __name__ == "__main__":
    sys.exit(main())
