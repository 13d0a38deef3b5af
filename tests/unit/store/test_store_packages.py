"""Deployment packages: what AWS accepts is accepted, everything hostile gets AWS's answer and leaves nothing behind."""

import asyncio
import base64
import hashlib
import io
import json
import os
import random
import stat
import struct
import threading
import warnings
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jupyter_lambda.errors import InvalidParameterValueException, RequestEntityTooLargeException, StoreError
from jupyter_lambda.model import limits
from jupyter_lambda.store import packages as packages_module
from jupyter_lambda.store.packages import Packages

BAD = "Could not unzip uploaded file. Please check your file, then try to upload again."
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"


def info(name: str, mode: int = stat.S_IFREG | 0o644, **fields) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = 3
    made.external_attr = mode << 16
    for key, value in fields.items():
        setattr(made, key, value)
    return made


def make_zip(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")
        for entry, data in entries:
            archive.writestr(entry, data, compress_type=compression)
    return buffer.getvalue()


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    return info(name, stat.S_IFLNK | 0o777), target.encode()


def tree(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*")}


@pytest.fixture
async def packages(tmp_path: Path) -> AsyncIterator[Packages]:
    opened = await Packages.open(tmp_path / "state" / "packages")
    yield opened
    await opened.close()


async def test_good_package(packages: Packages):
    data = make_zip(
        ("index.py", b"x = 1"),
        (info("bootstrap", stat.S_IFREG | 0o4755), b"#!/bin/sh"),
        ("lib/", b""),
        ("lib/a/b.py", b"y"),
        ("./c/./d.py", b"z"),
        ("lib/ü.txt", "ü".encode()),
        link("lib/link.py", "../index.py"),
        link("loop", "loop"),
    )
    package = await packages.add_zip(data)
    assert package.code_sha256 == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert package.code_size == len(data)
    files = await packages.unpacked(package.code_sha256)
    assert (files / "lib/link.py").read_text() == "x = 1"
    assert (files / "c/d.py").read_text() == "z"
    assert (files / "lib/ü.txt").read_text() == "ü"
    modes = {p.relative_to(files).as_posix(): stat.S_IMODE(p.lstat().st_mode) for p in files.rglob("*")}
    assert modes["index.py"] == 0o444
    assert modes["bootstrap"] == 0o555
    assert modes["lib"] == modes["lib/a"] == stat.S_IMODE(files.stat().st_mode) == 0o555
    assert packages.zip_bytes(package.code_sha256) == data
    assert packages.unzipped_size(package.code_sha256) == 5 + 9 + 1 + 1 + 2


async def test_zip_without_unix_modes(packages: Packages):
    package = await packages.add_zip(make_zip((info("a.py", create_system=0, external_attr=0xFFFF << 16), b"1")))
    assert stat.S_IMODE((await packages.unpacked(package.code_sha256) / "a.py").stat().st_mode) == 0o444


def patched(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """Overwrite bytes at an offset behind each occurrence of a signature."""
    mutable = bytearray(data)
    for signature, offset, value in changes:
        at = mutable.find(signature)
        while at >= 0:
            mutable[at + offset : at + offset + len(value)] = value
            at = mutable.find(signature, at + 1)
    return bytes(mutable)


GOOD = make_zip(("index.py", b"x = 1\n" * 100), ("data.bin", bytes(range(256)) * 8))
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def overlapping() -> bytes:
    """Two entries of the directory that share one file's bytes."""
    data = make_zip(("a", b"0" * 5000))
    start = data.index(CENTRAL)
    end = data.index(END)
    entry = bytearray(data[start:end])
    entry[46:47] = b"b"
    record = struct.pack("<4s4H2LH", END, 0, 0, 2, 2, 2 * len(entry), start, 0)
    return data[:start] + data[start:end] + bytes(entry) + record


HOSTILE = {
    "not a zip": b"this is no zip at all",
    "only the end record": END + bytes(17),
    "truncated at the end": GOOD[:-30],
    "truncated at the front": GOOD[40:],
    "half": GOOD[: len(GOOD) // 2],
    "encrypted": patched(GOOD, (LOCAL, 6, b"\x01\x00"), (CENTRAL, 8, b"\x01\x00")),
    "strongly encrypted": patched(GOOD, (LOCAL, 6, b"\x41\x00"), (CENTRAL, 8, b"\x41\x00")),
    "unknown method": patched(GOOD, (LOCAL, 8, b"\x63\x00"), (CENTRAL, 10, b"\x63\x00")),
    "lzma": make_zip(("a", b"1" * 1000), compression=zipfile.ZIP_LZMA),
    "bzip2": make_zip(("a", b"1" * 1000), compression=zipfile.ZIP_BZIP2),
    "wrong checksum": patched(GOOD, (LOCAL, 14, b"\x01\x02\x03\x04"), (CENTRAL, 16, b"\x01\x02\x03\x04")),
    "damaged data": GOOD[:60] + b"\xff" * 20 + GOOD[80:],
    "smaller than it claims": patched(GOOD, (CENTRAL, 24, b"\x00\x00\x01\x00")),
    "larger than it claims": patched(GOOD, (CENTRAL, 24, b"\x05\x00\x00\x00")),
    "header elsewhere": patched(GOOD, (CENTRAL, 42, b"\xff\xff\xff\x7f")),
    "overlapping": overlapping(),
    "parent": make_zip(("../x", b"1")),
    "parent below": make_zip(("a/../../x", b"1")),
    "parent at the end": make_zip(("a/..", b"1")),
    "absolute": make_zip(("/etc/x", b"1")),
    "drive": make_zip(("C:/x", b"1")),
    "backslash": make_zip(("..\\x", b"1")),
    "nul": make_zip(("a.pyXevil", b"1")).replace(b"a.pyXevil", b"a.py\0evil"),
    "dot": make_zip((".", b"1")),
    "long name": make_zip(("n" * 256, b"1")),
    "long path": make_zip(("/".join(["d" * 200] * 20), b"1")),
    "device": make_zip((info("a", stat.S_IFCHR | 0o666), b"")),
    "block device": make_zip((info("a", stat.S_IFBLK | 0o666), b"")),
    "fifo": make_zip((info("a", stat.S_IFIFO | 0o666), b"")),
    "socket": make_zip((info("a", stat.S_IFSOCK | 0o666), b"")),
    "duplicate": make_zip(("a", b"1"), ("a", b"2")),
    "duplicate by another spelling": make_zip(("a/b", b"1"), ("a//./b", b"2")),
    "file then directory": make_zip(("a", b"1"), ("a/b", b"2")),
    "directory then file": make_zip(("a/b", b"1"), ("a", b"2")),
    "directory entry and file": make_zip(("a/", b""), ("a", b"2")),
    "link to the root": make_zip(link("a", "/")),
    "absolute link": make_zip(link("a", "/etc/passwd")),
    "link outside": make_zip(link("a/b", "../../x")),
    "empty link": make_zip(link("a", "")),
    "link with nul": make_zip(link("a", "b\0c")),
    "endless link": make_zip(link("a", "b/" * 5000)),
    "link not in utf-8": make_zip((info("a", stat.S_IFLNK | 0o777), b"\xff\xfe")),
    "file through a link": make_zip(link("a", "b"), ("a/x", b"1")),
    "link through a link": make_zip(("p/q/r/f", b"1"), link("p/q/r/d", "../../.."), link("p/q/r/l", "d/../outside")),
    "two links with one name": make_zip(link("a", "b"), link("a", "c")),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_zip(packages: Packages, tmp_path: Path, name: str):
    with pytest.raises(InvalidParameterValueException) as raised:
        await packages.add_zip(HOSTILE[name])
    assert raised.value.message == BAD
    assert tree(tmp_path) == {"state", "state/packages", "state/packages/.under-way"}


@pytest.mark.parametrize("data", [b"", END + bytes(18)])
async def test_empty_zip(packages: Packages, data: bytes):
    with pytest.raises(InvalidParameterValueException, match="Uploaded file must be a non-empty zip"):
        await packages.add_zip(data)


async def test_zip_that_is_too_large(packages: Packages):
    with pytest.raises(RequestEntityTooLargeException, match="Zipped size must be smaller than 52428800 bytes"):
        await packages.add_zip(bytes(limits.ZIP_MAX_BYTES + 1))


async def test_bomb_by_its_claim(packages: Packages):
    claim = struct.pack("<L", limits.UNZIPPED_MAX_BYTES + 1)
    with pytest.raises(InvalidParameterValueException, match=TOO_LARGE):
        await packages.add_zip(patched(GOOD, (CENTRAL, 24, claim)))


async def test_bomb_by_its_content(packages: Packages, tmp_path: Path, monkeypatch):
    """Counted while unpacking: the claims of all entries together are below the limit, what comes is not."""
    monkeypatch.setattr(limits, "UNZIPPED_MAX_BYTES", 1_000_000)
    data = make_zip(("a", bytes(900_000)), ("b", bytes(900_000)))
    monkeypatch.setattr("builtins.sum", lambda *_: 0)
    with pytest.raises(InvalidParameterValueException, match="Unzipped size must be smaller than 1000000 bytes"):
        await packages.add_zip(data)
    assert _names(tmp_path / "state/packages") == []


async def test_too_many_entries(packages: Packages, monkeypatch):
    monkeypatch.setattr(limits, "ZIP_MAX_ENTRIES", 10)
    await packages.add_zip(make_zip(*((f"f{i}", b"") for i in range(10))))
    for count in (11, 50):
        with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
            await packages.add_zip(make_zip(*((f"f{i}", b"") for i in range(count))))


async def test_twenty_thousand_files(packages: Packages):
    data = make_zip(*((f"d{i % 100}/f{i}.py", b"x") for i in range(20_000)), compression=zipfile.ZIP_STORED)
    package = await packages.add_zip(data)
    files = await packages.unpacked(package.code_sha256)
    assert sum(len(names) for _, _, names in os.walk(files)) == 20_000
    assert await packages.collect(lambda _: True) == 0


async def test_any_damage_gets_an_answer(packages: Packages):
    """Flip bytes all over: each zip is either accepted or refused with AWS's error, never anything else."""
    chance = random.Random(7)
    refused = 0
    for _ in range(300):
        data = bytearray(GOOD)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            await packages.add_zip(bytes(data))
        except (InvalidParameterValueException, RequestEntityTooLargeException):
            refused += 1
    assert refused > 100


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name != ".under-way" or any(path.iterdir())]


async def test_identical_uploads_are_shared(packages: Packages, tmp_path: Path):
    added = await asyncio.gather(*(packages.add_zip(GOOD) for _ in range(4)))
    assert len(set(added)) == 1
    assert len(_names(tmp_path / "state/packages")) == 1
    paths = await asyncio.gather(*(packages.unpacked(added[0].code_sha256) for _ in range(4)))
    assert len(set(paths)) == 1


async def test_files_are_made_again_after_another_boot(packages: Packages, tmp_path: Path, monkeypatch):
    package = await packages.add_zip(GOOD)
    files = await packages.unpacked(package.code_sha256)
    (files / "data.bin").chmod(0o644)
    (files / "data.bin").write_bytes(b"")  # as a power failure may leave it
    monkeypatch.setattr(packages_module, "_boot_id", lambda: "the next boot")
    for _ in range(2):
        again = await Packages.open(tmp_path / "state/packages")
        files = await again.unpacked(package.code_sha256)
        assert (files / "data.bin").read_bytes() == bytes(range(256)) * 8
        await again.close()
    about = json.loads((files.parent / "about.json").read_text())
    assert about == {"unzipped_size": again.unzipped_size(package.code_sha256), "boot_id": "the next boot"}


async def test_crash_while_adding_leaves_nothing_after_the_next_start(packages: Packages, tmp_path: Path):
    directory = tmp_path / "state/packages"
    half = directory / ".under-way" / "adding-abc"
    (half / "files" / "sub").mkdir(parents=True)
    (half / "files" / "sub").chmod(0o555)
    (directory / "stray").write_text("")
    package = await packages.add_zip(GOOD)
    again = await Packages.open(directory)
    assert not half.exists()
    # What else is there, an earlier release may have left half done: it goes with the first collection.
    await again.collect(lambda _: True)
    assert _names(directory) == [base64.b64decode(package.code_sha256).hex()]
    await again.close()


async def test_missing_and_damaged_packages(packages: Packages, tmp_path: Path, monkeypatch):
    unknown = base64.b64encode(bytes(32)).decode()
    for read in (packages.zip_bytes, packages.unzipped_size):
        with pytest.raises(StoreError, match="deploy the function's code again"):
            read(unknown)
    for name in (unknown, "../../etc", base64.b64encode(b"short").decode()):
        with pytest.raises(StoreError):
            await packages.unpacked(name)
    package = await packages.add_zip(GOOD)
    directory = tmp_path / "state/packages" / base64.b64decode(package.code_sha256).hex()
    (directory / "package.zip").write_bytes(b"rotten")
    monkeypatch.setattr(packages_module, "_boot_id", lambda: "other")
    again = await Packages.open(directory.parent)
    with pytest.raises(StoreError, match="is damaged; deploy"):
        await again.unpacked(package.code_sha256)
    (directory / "about.json").write_text("{")
    with pytest.raises(StoreError, match=r"about\.json is damaged"):
        again.unzipped_size(package.code_sha256)
    assert await again.collect(lambda _: False) == len(b"rotten")
    assert _names(directory.parent) == []
    # And the same code can be deployed anew.
    await again.add_zip(GOOD)
    await again.close()


async def test_collect_keeps_what_is_used_or_fresh(packages: Packages, tmp_path: Path, monkeypatch):
    kept = await packages.add_zip(GOOD)
    loose = await packages.add_zip(make_zip(("a/b/c", b"1234")))
    assert await packages.collect(lambda _: False) == 0
    monkeypatch.setattr(packages_module, "GRACE_S", 0.0)
    asked: list[int] = []

    def keep(code_sha256: str) -> bool:
        asked.append(threading.get_ident())
        return code_sha256 == kept.code_sha256

    assert await packages.collect(keep) == loose.code_size + 4
    assert set(asked) == {threading.get_ident()}
    await packages.unpacked(kept.code_sha256)
    with pytest.raises(StoreError):
        await packages.unpacked(loose.code_sha256)


async def test_package_added_again_while_it_is_collected(packages: Packages, monkeypatch):
    package = await packages.add_zip(GOOD)
    packages._touched_s.clear()  # as after a restart

    def about(code_sha256: str) -> dict:
        # In the middle of the removal, the same code is deployed.
        packages._add(GOOD)
        return {"unzipped_size": 0}

    monkeypatch.setattr(packages, "_about", about)
    assert await packages.collect(lambda _: False) == 0
    monkeypatch.undo()
    assert packages.zip_bytes(package.code_sha256) == GOOD


async def test_disk_that_is_full_is_no_fault_of_the_zip(packages: Packages, tmp_path: Path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device", "some file")

    monkeypatch.setattr(packages_module, "write_synced", refuse)
    with pytest.raises(StoreError, match=r"No space left on device.*check free space"):
        await packages.add_zip(GOOD)
    assert _names(tmp_path / "state/packages") == []
