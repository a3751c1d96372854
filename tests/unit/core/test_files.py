"""Files are whole or absent; a lock is held once; a growing file notices other writers."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchflow import files
from batchflow.errors import SetupError


def test_an_atomic_write_replaces_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.atomic_write(path, b"old")
    files.atomic_write(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.atomic_write(path, b"old")

    def interrupted() -> None:
        with files.atomic_writer(path) as handle:
            handle.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_shard_file_is_absent_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    file = files.ShardFile(path)
    file.write(b"one\n")
    file.write(b"two\n")
    assert not path.exists()
    assert file.bytes == 8
    assert file.close() == hashlib.sha256(b"one\ntwo\n").hexdigest() == files.sha256_of(path)


def test_a_discarded_shard_file_leaves_nothing(tmp_path: Path) -> None:
    file = files.ShardFile(tmp_path / "s")
    file.write(b"x")
    file.discard()
    assert list(tmp_path.iterdir()) == []


def test_sweeping_takes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "kept.part"
    kept.write_bytes(b"a user's own name")
    files.temporary_for(tmp_path / "x").write_bytes(b"left by a crash")
    (tmp_path / f".run.1{files.PART}" / "requests").mkdir(parents=True)
    files.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_folder_is_published_and_removed_whole(tmp_path: Path) -> None:
    building = tmp_path / ".building"
    (building / "deep").mkdir(parents=True)
    (building / "deep" / "f").write_bytes(b"x")
    files.publish_folder(building, tmp_path / "final")
    assert (tmp_path / "final" / "deep" / "f").read_bytes() == b"x"
    files.remove_folder(tmp_path / "final")
    files.remove_folder(tmp_path / "final")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_one() -> None:
    def fill() -> None:
        with files.explained(Path("x")), Path("/dev/full").open("wb", buffering=0) as handle:
            handle.write(b"x")

    with pytest.raises(SetupError, match="no space left"):
        fill()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_missing_rights_are_told(code: int) -> None:
    with pytest.raises(SetupError, match="cannot be written"), files.explained(Path("x")):
        raise OSError(code, os.strerror(code))


def test_a_lock_is_held_once_and_again_after_its_release(tmp_path: Path) -> None:
    first, second = files.FileLock(tmp_path / "lock"), files.FileLock(tmp_path / "lock")
    assert first.acquire()
    assert not second.acquire()
    first.release()
    with second:
        assert second.acquire()
        assert not first.acquire()
    assert first.acquire()
    first.release()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom batchflow.files import FileLock\n"
        "lock = FileLock(pathlib.Path(sys.argv[1]))\nassert lock.acquire()\nprint('held', flush=True)\ninput()\n"
    )
    lock = files.FileLock(tmp_path / "lock")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(lock.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not lock.acquire()
        holder.kill()
        holder.wait()
        assert lock.acquire()
        lock.release()


def test_a_growing_file_notices_growth_shrinking_and_replacement(tmp_path: Path) -> None:
    path = tmp_path / "j"
    file = files.AppendFile(path, length=0)
    assert file.append(b"mine")
    assert not file.foreign_growth()
    with path.open("ab") as other:
        other.write(b"x")
    assert file.foreign_growth()
    assert not file.append(b"mine again"), "what somebody else wrote is never written over"
    assert path.read_bytes() == b"minex"
    os.truncate(path, 4)
    assert not file.foreign_growth()
    os.truncate(path, 3)
    assert file.foreign_growth()
    path.unlink()
    path.write_bytes(b"mine")
    assert file.foreign_growth()
    file.close()


def test_scratch_is_gone_afterwards_and_space_is_told(tmp_path: Path) -> None:
    with files.scratch_folder(tmp_path) as scratch:
        assert scratch.is_dir()
    assert not scratch.exists()
    assert files.free_bytes(tmp_path) > 0


def test_a_log_is_private_and_begins_anew(tmp_path: Path) -> None:
    for _ in range(2):
        with files.log_handle(tmp_path / "log") as handle:
            handle.write(b"line\n")
    assert (tmp_path / "log").read_bytes() == b"line\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
