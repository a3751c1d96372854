"""A table that lies elsewhere (s3://, gs://, https://, …), fetched once through fsspec. Needs the extra `remote`, and
for most kinds of address the library that knows them.
"""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from batchflow import files
from batchflow.errors import DataError, Fault, SetupError
from batchflow.sources.table import not_installed

_BLOCK: Final = 1 << 20
_NEEDED: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp requests",
    "https": "aiohttp requests", "az": "adlfs", "abfs": "adlfs", "hf": "huggingface_hub", "sftp": "paramiko",
    "ssh": "paramiko",
}  # fmt: skip


def shown_of(address: str) -> str:
    """The address without what follows a `?`, and without a user's name."""
    parts = urlsplit(address)
    return parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()


def fetch(address: str, target: Path) -> None:
    """Copy the object at an address into a file. Errors: SetupError for a missing library, DataError."""
    shown = shown_of(address)
    try:
        import fsspec  # noqa: PLC0415 - an extra, and only for addresses
    except ImportError as error:
        raise not_installed(shown, "what fetches addresses", "remote") from error
    scheme = urlsplit(address).scheme
    try:
        with fsspec.open(address, "rb") as source, files.atomic_writer(target) as copy:
            while block := source.read(_BLOCK):
                copy.write(block)
    except ImportError as error:
        library = _NEEDED.get(scheme, "")
        raise SetupError(
            f"{shown}: what fetches {scheme}:// addresses is not installed: {error}",
            hint=f"install it: pip install 'batchflow-llm[remote]' {library}".rstrip(),
        ) from error
    except FileNotFoundError:
        raise DataError([Fault(shown, "nothing lies at this address", "check its spelling and your rights")]) from None
    except Exception as error:
        # each of the libraries has errors of its own
        cause = f"it cannot be fetched: {type(error).__name__}: {error}".replace(address, shown)
        raise DataError([
            Fault(shown, cause, "check the address, your rights and the network, or download the file yourself")
        ]) from error  # fmt: skip
