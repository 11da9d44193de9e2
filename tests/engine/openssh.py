"""A real sshd for engine tests: Debian's openssh-server on a loopback port, as the user who runs the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

_START_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """A running sshd; `log` has a line for each login."""

    host: str
    port: int
    user: str
    host_key: str
    private_key: Path
    log: Path

    def logins(self) -> int:
        """How often somebody has come in so far."""
        return self.log.read_text().count("Accepted publickey for ")

    def connection(self, **more: object) -> dict[str, object]:
        """A `connection` for `command.remote.Command`, with the key of this server's user and its host key pinned."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "private_key": self.private_key.read_text(),
            "host_key": self.host_key,
            "dial_error_limit": 1,
            "per_dial_timeout": 5,
        } | more


def generate_key(path: Path, passphrase: str = "") -> str:
    """Makes an ed25519 key pair and returns the public half as it stands in authorized_keys, without comment."""
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path))
    return path.with_suffix(".pub").read_text().strip()


@contextmanager
def sshd(folder: Path, accept_env: str = "PULUMI_COMMAND_* GREETING") -> Iterator[Server]:
    """Starts an sshd in an empty folder; it is gone when the context ends."""
    program = _sshd_program()
    folder.mkdir(parents=True)
    host_key = generate_key(folder / "host")
    (folder / "authorized_keys").write_text(generate_key(folder / "user") + "\n")
    port = free_port()
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized_keys'}\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nLogLevel VERBOSE\n"
        f"AcceptEnv {accept_env}\nMaxStartups 100\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's own folder for privilege separation
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stdout=sink, stderr=sink)
    try:
        _wait_for(port, process, log)
        yield Server("127.0.0.1", port, getpass.getuser(), host_key, folder / "user", log)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"sshd did not come up:\n{log.read_text()}")


def _sshd_program() -> str:
    """Where sshd is, installing Debian's openssh-server when it is missing (sshd wants an absolute path)."""
    places = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    if (found := shutil.which("sshd", path=places)) is not None:
        return found
    _run("apt-get", "install", "-y", "--no-install-recommends", "openssh-server")
    found = shutil.which("sshd", path=places)
    assert found is not None, "openssh-server is installed but there is no sshd"
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
