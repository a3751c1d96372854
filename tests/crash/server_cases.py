"""The server killed at random moments of a batch, and runner and server by turns: what was accepted is done, once."""

import random
import threading
import time
from collections import Counter
from pathlib import Path

from tests.crash.harness import Study
from tests.server.client import ENDED, Client, line
from tests.server_process import ServerProcess
from tests.zygote import Ended, Zygote

ROWS = 1200
KILLS = 5


def server_case(seed: int, folder: Path) -> str:
    """KILLS times SIGKILL to a server that works on two batches; returns a line about it."""
    source = random.Random(seed)
    lines = [line(number) for number in range(1, ROWS + 1)]
    server = ServerProcess(folder / "store", rows_per_second=600, delay=1.0)
    kills = 0
    with server, Client(server) as client:
        batches = [client.start(lines[:200])["id"], client.start(lines[200:])["id"]]
        while kills < KILLS and not all(client.batch(one)["status"] in ENDED for one in batches):
            time.sleep(source.uniform(0.0, 0.4))
            server.kill9()
            kills += 1
            server.restart()
        found: Counter[str] = Counter()
        for one in batches:
            ended = client.wait(one, patience=60)
            counts = ended["request_counts"]
            assert (ended["status"], counts["failed"], counts["total"]) == ("completed", 0, counts["completed"])
            stored = client.http.get(f"/files/{ended['output_file_id']}").json()
            content = client.content(ended["output_file_id"])
            assert len(content) == stored["bytes"], f"{len(content)} bytes of {stored['bytes']}"
            found.update(row["custom_id"] for row in client.results(ended["output_file_id"]))
        assert found == Counter(one["custom_id"] for one in lines)
        executions = server.audit()["executions"]
        assert (executions["rows"], executions["by_custom_id"]["max"]) == (ROWS, 1)
    return f"killed {kills}x, {len(batches)} batches completed, {ROWS} rows executed once, files whole"


def alternating_case(seed: int, folder: Path, zygote: Zygote) -> str:
    """Runner and server killed by turns, then left alone until all is done; returns a line about it."""
    source = random.Random(seed)
    kills: Counter[str] = Counter()
    with Study.make(folder, zygote, rows=18, delay=2.0, settle="0.5s") as study:
        for turn in range(source.randint(4, 8)):
            if turn % 2:
                ended = _struck(study, source.uniform(0.05, 0.7))
                kills["server"] += 1
            else:
                ended = study.run(kill_after=source.uniform(0.1, 0.9))
            kills["runner"] += ended.status == -9
            assert ended.status in {-9, 0}, f"seed {seed}: {ended.status}\n{ended.stderr}"
            if ended.status == 0:
                break
        runs = study.finish()
        return (
            f"runner killed {kills['runner']}x, server {kills['server']}x, {runs} more run(s), {study.check_account()}"
        )


def _struck(study: Study, after: float) -> Ended:
    """A run during which the server is killed and comes back; then the run is killed."""

    def strike() -> None:
        time.sleep(after)
        study.server.kill9()
        study.server.restart()

    striker = threading.Thread(target=strike)
    striker.start()
    try:
        return study.run(kill_after=after + 0.5)
    finally:
        striker.join()
