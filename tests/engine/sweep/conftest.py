"""Sweeps of tiny runs, and a PostgreSQL server."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the extra sweep is not installed")

FIXED = "model: rnn\ntokenizer: char\nembed: 4\nbatch-size: 4\nseq-len: 8\neval-every: 40\n"


@pytest.fixture
def sweep_file(tmp_path, corpus):
    """Write a sweep over the small corpus: sweep_file("lr: [0.1, 0.2]", steps=40) -> its path."""

    def write(varied, steps=40, name="try.yaml"):
        path = tmp_path / name
        path.write_text(f"corpus: {corpus}\n{FIXED}steps: {steps}\n{varied}\n")
        return path

    return write


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    """The address of an empty database of a server that runs during the tests."""
    pytest.importorskip("pg8000", reason="the driver pg8000 is not installed")
    binaries = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if not binaries:
        pytest.skip("PostgreSQL's server is not installed")
    room = Path("/tmp") / f"nlm-postgres-{os.getpid()}"  # one that the server's user can enter
    room.mkdir(mode=0o700)
    user = {"user": "postgres"} if os.geteuid() == 0 else {}  # the server refuses to run as root
    if user:
        shutil.chown(room, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": room, **user}
    command = [binaries[-1] / "initdb", "-D", room / "data", "-U", "nlm", "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, **quiet)
    options = ["-D", room / "data", "-p", str(port), "-k", room, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    server = subprocess.Popen([binaries[-1] / "postgres", *options], **quiet)
    try:
        for _ in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"postgresql+pg8000://nlm@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)  # at once, whoever is still connected
        server.wait(20)
        shutil.rmtree(room)
