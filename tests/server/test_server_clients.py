"""OpenAI's own Python client, unmodified, synchronous and not: upload from a stream, batch, download in pieces."""

import asyncio
import json
from pathlib import Path

import openai
import pytest

from tests.server.client import file_of, line
from tests.server_process import ServerProcess

ROWS = 40


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_bytes(file_of([line(number) for number in range(1, ROWS + 1)]))
    return path


def answered(content: bytes) -> set[str]:
    lines = [json.loads(one) for one in content.split(b"\n") if one]
    assert all(one["response"]["status_code"] == 200 for one in lines)
    return {one["custom_id"] for one in lines}


EVERY = {f"r-{number}" for number in range(1, ROWS + 1)}


def test_the_synchronous_client(tmp_path: Path, requests: Path) -> None:
    with ServerProcess(tmp_path / "store") as server:
        client = openai.OpenAI(base_url=server.base_url, api_key=server.key)
        with requests.open("rb") as handle:
            uploaded = client.files.create(file=handle, purpose="batch")
        assert (uploaded.bytes, uploaded.filename) == (requests.stat().st_size, "requests.jsonl")
        batch = client.batches.create(
            input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"a": "b"}
        )
        while batch.status != "completed":
            batch = client.batches.retrieve(batch.id)
        assert batch.metadata == {"a": "b"}
        assert [one.id for one in client.batches.list(limit=1)] == [batch.id]
        assert {one.id for one in client.files.list(purpose="batch")} == {uploaded.id}
        assert batch.output_file_id is not None
        with client.files.with_streaming_response.content(batch.output_file_id) as response:
            assert answered(b"".join(response.iter_bytes(1000))) == EVERY
        part = client.files.content(batch.output_file_id, extra_headers={"Range": "bytes=0-9"})
        assert (part.response.status_code, len(part.content)) == (206, 10)
        with pytest.raises(openai.ConflictError):
            client.batches.cancel(batch.id)
        assert client.files.delete(uploaded.id).deleted
        with pytest.raises(openai.NotFoundError, match="No such File object"):
            client.files.retrieve(uploaded.id)


def test_the_asynchronous_client(tmp_path: Path, requests: Path) -> None:
    async def work(server: ServerProcess) -> set[str]:
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key) as client:
            uploaded = await client.files.create(file=requests, purpose="batch")
            batch = await client.batches.create(
                input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            while batch.status != "completed":
                batch = await client.batches.retrieve(batch.id)
            assert [one.id async for one in client.batches.list(limit=1)] == [batch.id]
            assert batch.output_file_id is not None
            async with client.files.with_streaming_response.content(batch.output_file_id) as response:
                return answered(b"".join([piece async for piece in response.iter_bytes(1000)]))

    with ServerProcess(tmp_path / "store") as server:
        assert asyncio.run(work(server)) == EVERY
