"""`make clients`: curl and OpenAI's JavaScript client (npm, from its registry) against the local Batch API."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.server.client import file_of, line
from tests.server_process import ServerProcess

ROWS = 40
SCRIPT = Path(__file__).with_name("official_client.mjs")


def main() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as name, ServerProcess(Path(name) / "store") as server:
        folder = Path(name)
        (folder / "requests.jsonl").write_bytes(file_of([line(number) for number in range(1, ROWS + 1)]))
        for client, walk in (("curl", with_curl), ("openai for JavaScript", with_node)):
            try:
                print(f"ok    {client}: {walk(folder, server)}", flush=True)
            except (AssertionError, subprocess.CalledProcessError, OSError) as error:
                failed += 1
                print(f"FAIL  {client}: {error}", flush=True)
    return int(failed > 0)


def with_curl(folder: Path, server: ServerProcess) -> str:
    def curl(path: str, *arguments: str) -> bytes:
        command = ["curl", "-sS", "--fail", "-H", f"Authorization: Bearer {server.key}", *arguments]
        return subprocess.run([*command, server.base_url + path], check=True, capture_output=True, cwd=folder).stdout

    uploaded = json.loads(curl("/files", "-F", "purpose=batch", "-F", "file=@requests.jsonl"))
    body = {"input_file_id": uploaded["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = json.loads(curl("/batches", "-H", "Content-Type: application/json", "-d", json.dumps(body)))
    while batch["status"] != "completed":
        time.sleep(0.1)
        batch = json.loads(curl(f"/batches/{batch['id']}"))
    whole = curl(f"/files/{batch['output_file_id']}/content")
    assert curl(f"/files/{batch['output_file_id']}/content", "-r", "0-99") == whole[:100]
    assert whole.count(b"\n") == ROWS
    return f"{ROWS} answered, a range fetched"


def with_node(folder: Path, server: ServerProcess) -> str:
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "openai"], check=True, cwd=folder)
    script = folder / SCRIPT.name
    script.write_bytes(SCRIPT.read_bytes())  # it finds the library beside it
    env = {**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.key}
    ended = subprocess.run(
        ["node", script.name, "requests.jsonl"], check=True, capture_output=True, text=True, cwd=folder, env=env
    )
    said = ended.stdout.strip()
    assert said == f"{ROWS} answered", said
    return said


if __name__ == "__main__":
    sys.exit(main())
