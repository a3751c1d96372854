"""A folder, a server of its own, and the deck's commands typed in it."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.server_process import ServerProcess
from tests.zygote import Ended, Zygote

LINE = '{"custom_id": "id_%d", "method": "POST", "url": "/v1/chat/completions", "body": %s}\n'
# as the deck's own tool wrote it, with blanks after separators; but image_url is what the API takes
BODY = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "You are a participant."}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Which image do you find the most appealing?"},
                {"type": "image_url", "image_url": {"url": "https://images.example/select.png"}},
            ],
        },
    ],
    "temperature": 1,
    "response_format": {"type": "text"},
}


def write_requests(path: Path, count: int = 5) -> Path:
    path.write_text("".join(LINE % (number, json.dumps({**BODY, "seed": number})) for number in range(count)))
    return path


ASKING = frozenset({"start-batch", "delete-file", "chat-complete"})


class Walker:
    """Types commands in a folder; the address is that of its server."""

    def __init__(self, folder: Path, zygote: Zygote, base_url: str) -> None:
        self.folder, self._zygote, self.base_url = folder, zygote, base_url

    def type(self, *words: str, failpoint: str = "", agreed: bool = True, **how: Any) -> Ended:
        if agreed and ASKING.intersection(words[:2]) and "--yes" not in words:
            words = (*words, "--yes")
        env = {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": "sk-test", "BATCHFLOW_FAILPOINT": failpoint}
        return self._zygote.run(self.folder, words, env | {"COLUMNS": "160"}, **how)

    def json(self, *words: str, status: int = 0) -> dict[str, Any]:
        ended = self.type(*words, "--json")
        assert ended.status == status, ended.stderr
        return ended.json()

    def uploaded(self, count: int = 5) -> str:
        path = write_requests(self.folder / "batch-requests.jsonl", count)
        file_id: str = self.json("upload-batch-file", path.name)["uploaded"]["id"]
        return file_id

    def ended(self, batch_id: str) -> dict[str, Any]:
        until = time.monotonic() + 30
        while not (batch := self.json("show-batch", batch_id)["batch"])["ended"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        found: dict[str, Any] = batch
        return found


def server(folder: Path, faults: Sequence[dict[str, Any]] = (), delay: float = 0.05) -> ServerProcess:
    return ServerProcess(folder / "store", faults=faults, delay=delay)
