"""push.sh at the end of a real SSH connection that breaks: the file is whole and old or whole and new."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE

import pytest

from fortress import push
from lab import api
from lab.base import topology
from lab.host import secure_shell
from tests.lab.fortress import Fortress
from tests.lab.inside import on, until

HOST = "fra-1"
FOLDER = "/etc/fortress-test"
TARGET = f"{FOLDER}/big"
MARK = "/run/fortress-test-step"
BULK = "".join(f"line {number} of a file that takes its time\n" for number in range(200_000))
OLD, NEW, NEXT = ("old\n", f"new\n{BULK}", f"next\n{BULK}")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def standing() -> str:
    """Which text the file holds."""
    texts = {digest(text): name for name, text in (("old", OLD), ("new", NEW), ("next", NEXT))}
    found = on(HOST, f"sha256sum <{TARGET}").split()[0]
    return texts.get(found, f"neither: {found}")


def running() -> bool:
    """Whether a fortress-push runs on the host."""
    return api.console(HOST, "pgrep -x fortress-push").returncode == 0


def put(**options: str) -> str:
    """The command line as components make it."""
    return "sudo " + push.Put(TARGET, machine="test", resource="test", **options).render()  # type: ignore[arg-type]


class Connection:
    """One `ssh` that runs a put; what is sent to it is ours to say."""

    def __init__(self, command: str) -> None:
        words = secure_shell.command(api.current(), topology.host(HOST), command)
        self.process = subprocess.Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE)

    def send(self, text: str) -> None:
        """Send a part; comes back when it is on its way."""
        assert self.process.stdin
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def send_all(self, text: str) -> None:
        """Send the last part."""
        self.send(text)
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None  # or Popen.communicate trips over it

    def end(self, seconds: float) -> tuple[int, str]:
        """Wait for the outcome."""
        _, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, errors.decode()

    def kill(self) -> None:
        """End the client, by its id; it says goodbye to nobody."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def connection(command: str) -> Iterator[Connection]:
    """A put in flight."""
    made = Connection(command)
    try:
        until("the put has begun", 60, running, every=0.05)
        yield made
    finally:
        made.kill()


def put_whole(text: str) -> None:
    """A put that nothing disturbs."""
    done = api.ssh(HOST, put(), push.content(text), timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"put [0-9a-f-]{36}\n", done.stdout)


@pytest.fixture(autouse=True)
def _old_file(fortress: Fortress) -> Iterator[None]:
    """The old file stands before each test; afterwards nothing of it is left."""
    del fortress
    put_whole(OLD)
    try:
        yield
    finally:
        api.heal()
        on(HOST, f"{push.Remove(TARGET, machine='test', resource='test').render()} && rm -f {MARK}")
        assert (
            on(HOST, f"ls -d {FOLDER} /var/lib/fortress/files/*fortress-test* 2>&1 || true").count("cannot access") == 2
        )


def assert_the_next_put_leaves_nothing_behind() -> None:
    began = time.monotonic()
    put_whole(NEXT)
    assert time.monotonic() - began < 15
    assert standing() == "next"
    record = f"/var/lib/fortress/files/{TARGET.replace('/', '%2F')}"
    assert on(HOST, f"ls -A {FOLDER} {record}; ls -A /var/lib/fortress").split() == [
        *(f"{FOLDER}:", "big"),
        *(f"{record}:", "applied", "by", "original.none", "path", "put"),
        *("dirs", "files", "output"),
    ]


@dataclass(frozen=True)
class Cut:
    """A moment at which the client dies: what was sent by then, and which step of the host it waits for."""

    sent: str
    step: str
    stands: str


WAIT = f"echo >{MARK}; sleep 2"
WHOLE = push.content(NEW)
CUTS = {
    "nothing sent": Cut("", "", "old"),
    "half sent": Cut(WHOLE[: len(WHOLE) // 2], "", "old"),
    "all but the last byte sent": Cut(WHOLE[:-1], "", "old"),
    "in the check": Cut(WHOLE, "check", "new"),
    "in the activation": Cut(WHOLE, "apply", "new"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_a_client_that_is_killed(cut: Cut) -> None:
    with connection(put(**({cut.step: WAIT} if cut.step else {}))) as going:
        if cut.step:
            going.send_all(cut.sent)
            until(f"the {cut.step}", 60, marked, every=0.05)
        else:
            going.send(cut.sent)
        going.kill()
        until("the put has ended", 60, lambda: not running())
    assert standing() == cut.stands  # what was sent whole is done whole, whoever waits for it
    assert_the_next_put_leaves_nothing_behind()


def marked() -> bool:
    """Whether the put has come to the step that is waited for."""
    return api.console(HOST, f"test -e {MARK}").returncode == 0


def test_a_network_that_is_cut_for_good() -> None:
    """The host does not hear that its client is dead: it may wait, but nobody must wait for it."""
    with connection(put()) as going:
        going.send(WHOLE[: len(WHOLE) // 2])
        api.cut()
        going.kill()
        assert running()
        assert standing() == "old"
        api.heal()
        assert_the_next_put_leaves_nothing_behind()
    print(f"the half put ended {until('the half put has ended', 90, lambda: not running()):.1f} s after")
    assert standing() == "next"


def test_a_network_that_comes_back() -> None:
    with connection(put(apply=WAIT)) as going:
        going.send_all(WHOLE)
        until("the activation", 60, marked, every=0.05)
        api.cut()
        until("the put has ended", 60, lambda: not running())
        assert standing() == "new"
        api.heal()
        assert going.end(60) == (0, "")
    assert_the_next_put_leaves_nothing_behind()


def several(text: str, apply: str | None = None) -> tuple[str, str]:
    """A push of two files, and what it is sent."""
    puts = [push.Put(f"{FOLDER}/{name}", machine="", resource="several", apply=apply) for name in ("one", "two")]
    command = push.Files(tuple(put.path for put in puts), machine="test", resource="several")
    return f"sudo {command.render()}", push.together((put, push.content(f"{put.path} {text}")) for put in puts)


def texts() -> list[str]:
    return on(HOST, f"cat {FOLDER}/one {FOLDER}/two").split()[1::2]


def test_several_files_whose_push_is_killed_are_all_old_after_the_next_run_of_any_kind() -> None:
    remove = push.steps(
        *(push.Remove(f"{FOLDER}/{name}", machine="test", resource="several") for name in ("one", "two"))
    )
    try:
        for text in ("old", "old"):
            done = api.ssh(HOST, *several(text), timeout=30)
            assert (done.returncode, done.stderr) == (0, "")
        command, sent = several("new", f'echo >{MARK}; ! grep -q new "$1" || sleep 600')
        with connection(command) as going:
            going.send_all(sent)
            until("the activation", 60, marked, every=0.05)
            assert texts() == ["new", "new"]
            on(HOST, "pkill -KILL -x fortress-push; pkill -KILL -f '[s]leep 600'")
        on(HOST, "fortress-push mine")
        assert texts() == ["old", "old"]
        done = api.ssh(HOST, *several("new"), timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
        assert texts() == ["new", "new"]
    finally:
        assert api.ssh(HOST, f"sudo {remove.render()}", timeout=60).returncode == 0
