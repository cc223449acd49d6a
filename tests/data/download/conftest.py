"""The hostile server, and downloads from it."""

import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from relsim.data.download import DownloadOptions, download
from relsim.data.manifest import ManifestRow

_spec = importlib.util.spec_from_file_location("hostile_server", Path(__file__).with_name("hostile_server.py"))
hostile = sys.modules.setdefault("hostile_server", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(hostile)


@pytest.fixture(scope="session")
def authority():
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority, tmp_path_factory):
    """Its certificate, as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


class Web:
    """The addresses of a running server, and how often each was asked for."""

    def __init__(self, places):
        self.https, self.http, self.wrong = places["https"], places["http"], places["wrong"]

    @property
    def asked(self):
        with urllib.request.urlopen(f"{self.http}/asked", timeout=30) as answer:  # noqa: S310 - our own server
            return Counter(json.load(answer))


@pytest.fixture(scope="session")
def web(authority, tmp_path_factory):
    """The hostile server, in a process of its own."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, hosts in {"right": ("127.0.0.1", "localhost"), "wrong": ("another.example",)}.items():
        authority.issue_cert(*hosts).private_key_and_cert_chain_pem.write_to_path(folder / name)
    command = [sys.executable, hostile.__file__, folder / "right", folder / "wrong"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Web(json.loads(process.stdout.readline()))
        process.stdin.close()


@pytest.fixture(scope="session")
def made():
    """The module of the server: the pictures that it sends."""
    return hostile


@pytest.fixture(scope="session")
def quick(ca_file):
    """Options for the local server, with limits that a test can wait for."""
    return DownloadOptions(
        allow_private=True,
        ca_file=ca_file,
        decoders=1,
        connect_timeout=20,
        read_timeout=5,
        total_timeout=8,
        decode_timeout=10,
        retries=1,
        backoff=0.02,
        max_bytes=2**20,
        max_pixels=10_000_000,
    )


@pytest.fixture
def fetch(web, quick, tmp_path):
    """`fetch("/ok/1.jpg", …)` downloads these from the server into a new folder and gives rows and summary."""
    from relsim.data.shards import COLUMNS, part_rows

    def run(*addresses, base=None, folder=None, ids=None, **options):
        rows = [
            ManifestRow(
                f"id{number:03d}" if ids is None else ids[number],
                ((base or web.https) if address.startswith("/") else "") + address,
            )
            for number, address in enumerate(addresses)
        ]
        target = folder or tmp_path / "out"
        summary = download(rows, target, replace(quick, **options))
        parts = sorted(target.glob("part-*.parquet"))
        return [row for part in parts for row in part_rows(part, COLUMNS)], summary

    return run


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 KB, and a function that mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)
