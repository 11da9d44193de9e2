"""SSH to hosts: whose key is checked before anything is said, and who never keeps us waiting for long."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from fortress.cli.base.errors import CannotAskError
from fortress.cli.hosts import ssh
from fortress.cli.hosts.ssh import Credentials, HostKeyError, Login, LoginError, SshError, connect, prepare
from fortress.host_keys import fingerprint
from tests.doubles.ssh_server import Behaviour, SshServer, public, silent_server, ssh_server, write_key
from tests.ports import closed_port
from tests.ssh_agent import ssh_agent

# `ssh-keygen -lf` of this very key says 256 SHA256:QeUnTrouBmpEbOzPCDHSRj8VwcbEbl5tZAQdReLQ3AA (ED25519).
KNOWN_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAiVsiiBPU/zORI5dCoHhcmCpTWmHszAGbxjHtFoOiN/"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return write_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def server(key: tuple[Path, str]) -> Iterator[SshServer]:
    with ssh_server(Behaviour((key[1],))) as running:
        yield running


def target(server: SshServer, host_key: str | None = None, name: str = "fra-1", user: str = "ops") -> Login:
    return Login(name, server.address, server.port, user, host_key or server.host_key)


def test_runs_a_command_with_its_input_and_gives_what_it_printed(server: SshServer, key: tuple[Path, str]) -> None:
    session = connect(target(server), prepare(key[0], {}), 5)
    done = session.run("cat; printf 'of %s' \"$0\" >&2; exit 3", text="a line\n")
    assert (done.status, done.stdout, done.stderr) == (3, "a line\n", "of /bin/sh")
    assert session.run("printf %s 'x y'").stdout == "x y"
    session.close()
    assert not session.alive()


def test_what_a_login_shell_prints_is_no_part_of_an_answer(key: tuple[Path, str]) -> None:
    with ssh_server(Behaviour((key[1],), shell_says="Welcome!\nno end of line")) as talkative:
        session = connect(target(talkative), prepare(key[0], {}), 5)
        assert session.run("cat; exit 3", text="a line\n").stdout == "a line\n"
        assert list(session.lines("while read -r _; do echo tick; done", 2)) == [b"tick\n", b"tick\n"]
        session.close()


def test_commands_of_root_need_no_sudo(server: SshServer, key: tuple[Path, str]) -> None:
    access = prepare(key[0], {})
    assert connect(target(server), access, 5).sudo == ["sudo", "-n"]
    assert connect(target(server, user="root"), access, 5).sudo == []


def test_a_command_that_does_not_read_its_input_has_its_say(server: SshServer, key: tuple[Path, str]) -> None:
    session = connect(target(server), prepare(key[0], {}), 20)
    more_than_a_window = "x" * (4 << 20)
    found = session.run("echo early; echo it says why >&2; exit 3", text=more_than_a_window)
    assert (found.status, found.stdout, found.stderr) == (3, "early\n", "it says why\n")
    assert session.run("echo still there").stdout == "still there\n"


def test_answers_line_by_line(server: SshServer, key: tuple[Path, str]) -> None:
    session = connect(target(server), prepare(key[0], {}), 5)
    assert list(session.lines("n=0; while read -r _; do n=$((n + 1)); echo $n; done", 3)) == [b"1\n", b"2\n", b"3\n"]
    with pytest.raises(SshError, match="ended early"):
        list(session.lines("read -r _; echo once", 2))
    assert session.run("echo still there").stdout == "still there\n"


def test_another_host_key_is_refused_before_the_login_and_both_are_shown(key: tuple[Path, str]) -> None:
    with ssh_server(Behaviour((key[1],))) as impostor:
        with pytest.raises(HostKeyError) as refused:
            connect(target(impostor, KNOWN_KEY), prepare(key[0], {}), 5)
        assert refused.value.pinned == "ssh-ed25519 SHA256:QeUnTrouBmpEbOzPCDHSRj8VwcbEbl5tZAQdReLQ3AA"
        assert refused.value.shown == fingerprint(impostor.host_key)
        assert refused.value.pinned in str(refused.value)
        assert refused.value.shown in str(refused.value)
        assert (impostor.logins, impostor.commands) == (0, [])


def test_a_host_with_several_keys_shows_the_pinned_kind(key: tuple[Path, str]) -> None:
    rsa = paramiko.RSAKey.generate(2048)
    with ssh_server(Behaviour((key[1],)), key=rsa) as server:
        assert connect(target(server, public(rsa)), prepare(key[0], {}), 5).run("echo in").stdout == "in\n"


def test_a_host_that_lets_nobody_in(server: SshServer, tmp_path: Path) -> None:
    stranger, _ = write_key(tmp_path)
    with pytest.raises(LoginError, match=r"refuses user ops: none of the keys is accepted \(1 tried\)"):
        connect(target(server), prepare(stranger, {}), 5)


def test_a_host_that_lets_nobody_try_so_many_keys(key: tuple[Path, str]) -> None:
    (right,) = prepare(key[0], {}).keys
    wrong = tuple(paramiko.ECDSAKey.generate() for _ in range(8))
    with ssh_server(Behaviour((key[1],), most_keys=6)) as strict:
        with pytest.raises(
            LoginError, match=r"^refuses user ops: it hung up after 6 of 9 keys; name the right one with --key FILE$"
        ):
            connect(target(strict), Credentials((*wrong, right)), 5)
        with pytest.raises(LoginError, match=r"none of the keys is accepted \(6 tried\)"):
            connect(target(strict), Credentials(wrong[:6]), 5)
        assert connect(target(strict), Credentials((*wrong[:5], right)), 5).run("echo in").stdout == "in\n"


def test_a_silent_host_is_given_up_in_time(key: tuple[Path, str]) -> None:
    with silent_server() as server:
        started = time.monotonic()
        with pytest.raises(SshError, match=rf"does not answer on 127\.0\.0\.1:{server.port} within 1 s$"):
            connect(target(server), prepare(key[0], {}), 1.0)
        assert time.monotonic() - started < 10


def test_a_closed_port_says_so(key: tuple[Path, str]) -> None:
    port = closed_port()
    with pytest.raises(SshError, match=rf"^does not answer on 127\.0\.0\.1:{port} \(connection refused\)$"):
        connect(Login("fra-1", "127.0.0.1", port, "ops", KNOWN_KEY), prepare(key[0], {}), 5)


def test_a_host_that_freezes_after_the_login_is_given_up_in_time(key: tuple[Path, str]) -> None:
    with ssh_server(Behaviour((key[1],), freezes_on="sleepy")) as server:
        session = connect(target(server), prepare(key[0], {}), 3.0)
        started = time.monotonic()
        with pytest.raises(SshError, match="gave no answer within 3 s"):
            session.run("sleepy")
        assert time.monotonic() - started < 10
        assert not session.alive()


def test_a_connection_that_breaks_is_no_answer(key: tuple[Path, str]) -> None:
    with ssh_server(Behaviour((key[1],), hangs_up_on="unplug")) as server:
        session = connect(target(server), prepare(key[0], {}), 5)
        with pytest.raises(SshError, match="the connection broke"):
            session.run("unplug")
        assert not session.alive()


def test_a_host_that_lets_one_session_in_at_a_time_is_waited_for(key: tuple[Path, str]) -> None:
    with ssh_server(Behaviour((key[1],), most_sessions=1, lingers_s=0.3)) as server:
        session = connect(target(server), prepare(key[0], {}), 5)
        assert [session.run(f"echo {number}").stdout for number in range(3)] == ["0\n", "1\n", "2\n"]
        assert list(session.lines("read -r _; echo once", 1)) == [b"once\n"]
        assert session.run("echo still there").stdout == "still there\n"


def test_a_host_that_lets_no_session_in_names_the_setting(
    key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "CHANNEL_S", 0.1)
    with ssh_server(Behaviour((key[1],), most_sessions=0)) as server:
        session = connect(target(server), prepare(key[0], {}), 5)
        with pytest.raises(SshError) as refused:
            session.run("true")
    assert str(refused.value) == (
        "refuses to run a command after the login (connect failed): see that MaxSessions in its sshd_config is at "
        "least 1, and that no ForceCommand or Match block forbids sessions"
    )


def test_through_a_bastion_whose_key_is_pinned_too(server: SshServer, key: tuple[Path, str]) -> None:
    access = prepare(key[0], {})
    with ssh_server(Behaviour((key[1],), forwards=True)) as jump:
        before = server.logins
        bastion = connect(target(jump, name="the bastion"), access, 5)
        assert connect(target(server), access, 5, bastion).run("echo behind").stdout == "behind\n"
        assert (jump.logins, jump.commands, server.logins) == (1, [], before + 1)
        with pytest.raises(HostKeyError):
            connect(target(server, KNOWN_KEY), access, 5, bastion)
        with pytest.raises(HostKeyError):
            connect(target(jump, KNOWN_KEY, name="the bastion"), access, 5)


def test_a_bastion_that_reaches_nobody_is_named(key: tuple[Path, str]) -> None:
    port = closed_port()
    access = prepare(key[0], {})
    with ssh_server(Behaviour((key[1],), forwards=True)) as jump:
        bastion = connect(target(jump, name="the bastion"), access, 5)
        with pytest.raises(SshError, match=f"does not answer on 127.0.0.1:{port} through the bastion"):
            connect(Login("fra-1", "127.0.0.1", port, "ops", KNOWN_KEY), access, 5, bastion)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[str]:
    """A real ssh-agent without keys."""
    with ssh_agent(tmp_path / "agent") as path:
        yield str(path)


def test_the_agent_opens_hosts(
    agent: str, server: SshServer, key: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotAskError, match=r"holds no key; run `ssh-add`, or give --key FILE$"):
        prepare(None, {"SSH_AUTH_SOCK": agent})
    subprocess.run(["ssh-add", "-q", key[0]], env={**os.environ, "SSH_AUTH_SOCK": agent}, check=True)
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    access = prepare(None, os.environ)
    assert access == Credentials(agent=True)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(connect(target(server), access, 5).run("echo in").stdout))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["in\n"] * 4


def test_a_dead_agent_is_found_first_and_a_key_does_without(key: tuple[Path, str], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    for path, why in ((tmp_path / "dead", "Connection refused"), (tmp_path / "none", "No such file")):
        with pytest.raises(CannotAskError, match=rf"^the SSH agent at {re.escape(str(path))} is dead \({why}"):
            prepare(None, {"SSH_AUTH_SOCK": str(path)})
        assert len(prepare(key[0], {"SSH_AUTH_SOCK": str(path)}).keys) == 1
    with pytest.raises(CannotAskError, match=r"SSH_AUTH_SOCK is not set\); start one .*ssh-add.* or give --key FILE$"):
        prepare(None, {})


def test_a_frozen_agent_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fortress.cli.hosts.ssh.AGENT_ANSWERS_S", 0.2)
    with socket.socket(socket.AF_UNIX) as frozen:
        frozen.bind(str(tmp_path / "frozen"))
        frozen.listen()
        with pytest.raises(CannotAskError, match=r"is dead \(timed out\)"):
            prepare(None, {"SSH_AUTH_SOCK": str(tmp_path / "frozen")})


def test_a_key_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    locked, garbage = tmp_path / "locked", tmp_path / "garbage"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", locked], check=True)
    garbage.write_text("no key\n")
    with pytest.raises(CannotAskError, match="has a passphrase; load it into an agent with `ssh-add"):
        prepare(locked, {})
    with pytest.raises(CannotAskError, match="is not an SSH private key"):
        prepare(garbage, {})
    with pytest.raises(CannotAskError, match="none: No such file"):
        prepare(tmp_path / "none", {})


def test_fingerprints_as_ssh_keygen_shows_them(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        path = tmp_path / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", path], check=True)
        shown = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout
        assert fingerprint(path.with_suffix(".pub").read_text()).split()[1] == shown.split()[1]
    for bad in ("", "ssh-ed25519", "ssh-ed25519 !!!"):
        with pytest.raises(ValueError, match="not a host key"):
            fingerprint(bad)
