"""One file on a host, as people outside the stack push it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import HostFile, HostFileArgs
from fortress import push
from tests.components.engine import REMOTE, check_commands, connection, kinds, member, sent, texts, without_commands
from tests.doubles.pulumi_mocks import Run, plain, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN, Secret


def file(preview: bool = False, **more: Any) -> Run:
    def program() -> Mapping[str, Any]:
        known: dict[str, Any] = {"host": member(), "path": "/etc/motd", "content": "hello\n"}
        return {"path": HostFile("motd", HostFileArgs(**{**known, **more})).path}  # type: ignore[typeddict-item]

    return run(program, preview=preview)


def test_a_plain_file() -> None:
    done = file()
    assert kinds(done) == {"motd": ("fortress:index:HostFile", None), "motd-push": (REMOTE, "motd")}
    assert texts(done.children("motd")) == {
        "motd-push": (
            "sudo /usr/local/sbin/fortress-push put /etc/motd 0644 root:root --machine oslo-db.1",
            "sudo /usr/local/sbin/fortress-push remove /etc/motd --machine oslo-db.1",
        )
    }
    check_commands(done.children("motd").values(), connection())
    assert sent(done.resources["motd-push"]) == "hello\n"
    assert secret_paths(done.resources["motd-push"].inputs) == {"connection"}
    assert done.outputs["path"].value == "/etc/motd"
    assert done.registered["motd"] == {"path": "/etc/motd"}


@pytest.mark.parametrize("later", [False, True])
def test_bytes_land_as_they_are(later: bool) -> None:
    raw = bytes(range(256))
    encoded = base64.b64encode(raw).decode()

    def program() -> None:
        given = pulumi.Output.from_input(encoded) if later else encoded
        HostFile("logo", {"host": member(), "path": "/srv/logo.png", "binary_content": given})

    stdin = plain(run(program).resources["logo-push"].inputs["stdin"])
    assert isinstance(stdin, str)
    assert stdin.endswith(push.BASE64_END)
    assert push.received(stdin).encode(errors="surrogateescape") == raw


def test_what_comes_later_and_is_no_base64_is_refused() -> None:
    def program() -> None:
        HostFile("logo", {"host": member(), "path": "/srv/logo", "binary_content": pulumi.Output.from_input("no!")})

    with pytest.raises(ValueError, match=r'HostFile "logo": binary_content: \'no!\' must be bytes in base64'):
        run(program)


def test_every_option_stands_in_the_command() -> None:
    done = file(mode="0600", owner="app:app", check='test -s "$1"', apply="systemctl reload app", unit="app")
    assert texts(done.children("motd")) == {
        "motd-push": (
            "sudo /usr/local/sbin/fortress-push put /etc/motd 0600 app:app --check 'test -s \"$1\"' "
            "--apply 'systemctl reload app' --unit app --machine oslo-db.1",
            "sudo /usr/local/sbin/fortress-push remove /etc/motd --apply 'systemctl reload app' --machine oslo-db.1",
        )
    }


def test_a_secret_file_stays_secret_and_out_of_the_command() -> None:
    def program() -> None:
        args = HostFileArgs(host=member(), path="/etc/key", content=pulumi.Output.secret("HUSH"), private_key="PRIVATE")
        HostFile("key", args)

    found = run(program).resources["key-push"]
    assert found.inputs["stdin"] == Secret(f"HUSH\n{push.OPEN_END}")
    assert secret_paths(found.inputs) == {"connection", "stdin"}
    assert plain(found.inputs["connection"]) == connection(privateKey="PRIVATE")
    assert "HUSH" not in repr({**found.inputs, "stdin": None})


def test_an_unknown_text_is_not_sent_as_something_else() -> None:
    def program() -> None:
        later = local.Command("later", create="date")
        HostFile("motd", HostFileArgs(host=member(), path="/etc/motd", content=later.stdout))

    done = run(program, preview=True)
    assert done.resources["motd-push"].inputs["stdin"] is UNKNOWN
    assert "later" in done.resources["motd-push"].waits


@pytest.mark.parametrize("leaf", ["address", "port", "user", "host_key"])
def test_an_unknown_leaf_of_the_host_leaves_the_connection_unknown(leaf: str) -> None:
    def program() -> None:
        host: dict[str, Any] = {leaf: local.Command("later", create="date").stdout}
        HostFile("motd", HostFileArgs(host=member(**host), path="/etc/motd", content="hello"))

    found = run(program, preview=True).resources["motd-push"]
    assert found.inputs["connection"] == Secret(UNKNOWN)
    assert (found.inputs["create"] is UNKNOWN) is (leaf == "user"), "root or not decides about sudo"


def test_an_unknown_machine_leaves_the_commands_unknown() -> None:
    def program() -> None:
        later = local.Command("later", create="date")
        HostFile("motd", HostFileArgs(host=member(machine_id=later.stdout), path="/etc/motd", content="hello"))

    found = run(program, preview=True).resources["motd-push"]
    assert (found.inputs["create"], found.inputs["delete"]) == (UNKNOWN, UNKNOWN)
    assert plain(found.inputs["connection"]) == connection()


def test_a_file_of_a_machine_that_is_gone_changes_nothing() -> None:
    found = file(host=member(gone=True)).resources["motd-push"]
    assert found.inputs == without_commands(file().resources["motd-push"])
    assert found.hooks == {}, "nothing may look at its key"
    assert found.ignore_changes == ("connection", "create", "delete", "stdin")
