"""What stands between a command and a host that is not the one it was."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import HostFile, HostFileArgs, remote
from fortress.host_keys import fingerprint
from tests.components.engine import HOST_KEY, connection, member, ssh_key
from tests.doubles.pulumi_mocks import run

OTHER_KEY = ssh_key(9)


@pytest.fixture
def keyscan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh-keyscan that prints the file `shown`, and notes what it was asked."""
    (tmp_path / "shown").touch()
    program = tmp_path / "ssh-keyscan"
    program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\ncat {tmp_path}/shown\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(remote, "_looked_at", {})
    return tmp_path


def look(*connections: Mapping[str, Any] | pulumi.Output[Any] | None) -> None:
    """The hook, as the engine calls it before each of these commands."""

    async def all_at_once() -> None:
        await asyncio.gather(
            *(
                remote.refuse_impostor(pulumi.ResourceHookArgs("urn", "id", "n", "t", new_inputs={"connection": given}))
                for given in connections
            )
        )

    asyncio.run(all_at_once())


def test_a_host_that_shows_the_pinned_key_is_let_through(keyscan: Path) -> None:
    (keyscan / "shown").write_text(f"# 192.0.2.11:2222 SSH-2.0\n192.0.2.11 {HOST_KEY}\n")
    look(connection(port=2222.0))
    assert (keyscan / "asked").read_text() == "-T 5 -p 2222 -t ed25519 192.0.2.11\n"


def test_an_impostor_is_refused_with_both_fingerprints(keyscan: Path) -> None:
    (keyscan / "shown").write_text(f"192.0.2.11 {OTHER_KEY}\n")
    with pytest.raises(RuntimeError) as refused:
        look(connection())
    assert str(refused.value) == (
        "192.0.2.11 shows another host key than the pinned one, so nothing was sent.\n"
        f"  pinned  {fingerprint(HOST_KEY)}\n"
        f"  shown   {fingerprint(OTHER_KEY)}\n"
        "If this is a new machine, raise the host's `incarnation` in the settings, or run `pulumi refresh` if the "
        "stack created it; if not, find out who answers."
    )


def test_a_host_that_does_not_answer_is_left_to_the_command(keyscan: Path) -> None:
    look(connection())
    assert (keyscan / "asked").exists()


def test_a_question_that_is_interrupted_is_no_impostor_and_no_lost_host(
    keyscan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    (keyscan / "ssh-keyscan").write_text(f"#!/bin/sh\necho '192.0.2.11 {OTHER_KEY[:40]}'\nkill -INT $$\n")
    with pytest.raises(RuntimeError) as interrupted:
        look(connection())
    assert str(interrupted.value) == ("interrupted while 192.0.2.11 was asked for its host key; nothing was sent to it")
    assert not said


@pytest.mark.parametrize("begun", [True, False])
def test_an_update_that_is_cancelled_says_that_it_was_interrupted(keyscan: Path, begun: bool) -> None:
    (keyscan / "ssh-keyscan").write_text(f"#!/bin/sh\ntouch {keyscan}/asked\nexec sleep 600\n")

    async def cancelled() -> None:
        asked = asyncio.create_task(remote._scan("192.0.2.11", 22, "ssh-ed25519"))
        await asyncio.sleep(0)  # it is starting the program by now
        while begun and not (keyscan / "asked").exists():
            await asyncio.sleep(0.01)
        asked.cancel()
        await asked

    with pytest.raises(RuntimeError, match=r"^interrupted while 192\.0\.2\.11 was asked for its host key"):
        asyncio.run(cancelled())


def test_a_host_is_asked_once_a_run(keyscan: Path) -> None:
    (keyscan / "shown").write_text(f"192.0.2.11 {HOST_KEY}\n")
    look(*[connection()] * 5)
    assert len((keyscan / "asked").read_text().splitlines()) == 1


def test_what_cannot_be_asked_from_here_is_not(keyscan: Path) -> None:
    look(connection(proxy={"host": "198.51.100.1"}), connection(hostKey=""), None)
    assert not (keyscan / "asked").exists()


@pytest.mark.parametrize(
    ("kind", "asked"), [("ssh-ed25519", "ed25519"), ("ssh-rsa", "rsa"), ("ecdsa-sha2-nistp256", "ecdsa")]
)
def test_the_pinned_kind_is_asked_for(keyscan: Path, kind: str, asked: str) -> None:
    look(connection(hostKey=f"{kind} AAAA"))
    assert (keyscan / "asked").read_text() == f"-T 5 -p 22 -t {asked} 192.0.2.11\n"


def test_a_program_registers_the_hook_once_and_the_engine_can_call_it(keyscan: Path) -> None:
    (keyscan / "shown").write_text(f"192.0.2.11 {OTHER_KEY}\n")

    def program() -> None:
        for name in ("one", "two"):
            HostFile(name, HostFileArgs(host=member(), path=f"/etc/{name}", content=name))

    for _ in range(2):  # a second program in one process is another engine, which knows no hook yet
        done = run(program)
        assert list(done.hooks) == ["fortress-look-at-host-key"]
        assert {found.hooks["before_update"] for name, found in done.resources.items() if name.endswith("-push")} == {
            ("fortress-look-at-host-key",)
        }
    given = pulumi.ResourceHookArgs("urn", "id", "n", "t", new_inputs={"connection": connection()})
    with pytest.raises(RuntimeError, match="another host key"):
        asyncio.run(remote_call(done.hooks["fortress-look-at-host-key"], given))


async def remote_call(hook: pulumi.ResourceHook, given: pulumi.ResourceHookArgs) -> None:
    waiting = hook.callback(given)
    assert waiting is not None
    await waiting


def test_a_secret_connection_is_looked_at_too(keyscan: Path) -> None:
    """The connection of a command is always secret, and comes to the hook as an output."""
    (keyscan / "shown").write_text(f"192.0.2.11 {OTHER_KEY}\n")

    async def asked() -> None:
        given = pulumi.ResourceHookArgs(
            "urn", "id", "n", "t", new_inputs={"connection": pulumi.Output.secret(connection())}
        )
        await remote.refuse_impostor(given)

    with pytest.raises(RuntimeError, match="another host key"):
        asyncio.run(asked())


def test_a_fingerprint_reads_as_ssh_keygen_prints_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = key.with_suffix(".pub")
    printed = subprocess.run(["ssh-keygen", "-lf", public], check=True, capture_output=True, text=True).stdout
    assert fingerprint(public.read_text()).split()[1] == printed.split()[1]
