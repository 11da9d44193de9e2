"""What becomes of a service, told from the command that pushes its file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fortress import activation, firewall, push
from fortress.activation import Effect, leaves_services, of_command
from tests import recorded
from tests.unit.stack_file import ROOT


def put(apply: str | None, unit: str | None = None) -> str:
    return "sudo " + push.Put("/etc/x", machine="a.1", resource="x", check="true", apply=apply, unit=unit).render()


@pytest.mark.parametrize(
    ("apply", "effect", "service"),
    [
        (None, Effect.UNTOUCHED, ""),
        ("systemctl daemon-reload", Effect.UNTOUCHED, ""),
        (f"{firewall.APPLY} && systemctl -q enable nftables", Effect.RELOADS, "nftables"),
        ("/usr/local/lib/fortress/wireguard sync wg0", Effect.RELOADS, "wg0"),
        ("/usr/local/lib/fortress/wireguard reload wg0", Effect.RELOADS, "wg0"),
        ("systemctl -q enable haproxy && systemctl reload-or-restart haproxy", Effect.RELOADS, "haproxy"),
        ("systemctl try-reload-or-restart haproxy", Effect.RELOADS, "haproxy"),
        ("systemctl -q enable mariadb && systemctl restart mariadb", Effect.RESTARTS, "mariadb"),
        ("if systemctl -q is-active app; then systemctl restart app; fi", Effect.RESTARTS, "app"),
        ("systemctl daemon-reload && systemctl -q enable app && systemctl restart app", Effect.RESTARTS, "app"),
        (activation.restart_if_enabled("app"), Effect.RESTARTS, "app"),
        (f"systemctl daemon-reload; {activation.restart_if_enabled('mariadb')}", Effect.RESTARTS, "mariadb"),
        (activation.restart_at_the_gate("app"), Effect.RESTARTS, "app"),
        (activation.enable_and_restart_gated("app"), Effect.RESTARTS, "app"),
        (activation.enable_and_restart("mariadb"), Effect.RESTARTS, "mariadb"),
        (activation.enable_and_reload("haproxy"), Effect.RELOADS, "haproxy"),
        (activation.reload_if_enabled("haproxy"), Effect.RELOADS, "haproxy"),
        ("systemctl -q disable --now mariadb", Effect.STOPS, "mariadb"),
        ("systemctl -q disable app", Effect.UNTOUCHED, "app"),
        (
            firewall.APPLY_FORWARDING,
            Effect.RELOADS,
            "sysctl",
        ),
        ("/opt/do-what-you-like", Effect.UNKNOWN, ""),
        ("systemctl reload a; curl example.com", Effect.UNKNOWN, ""),
        ("systemctl isolate rescue.target", Effect.UNKNOWN, ""),
    ],
)
def test_the_command_says_what_becomes_of_the_service(apply: str | None, effect: Effect, service: str) -> None:
    found = of_command(put(apply))
    assert (found.effect, found.service) == (effect, service)


def test_only_a_mark_leaves_a_file_to_a_gate() -> None:
    assert activation.gated_unit(activation.restart_at_the_gate("app")) == "app"
    assert activation.gated_unit(activation.enable_and_restart_gated("app")) is None
    assert activation.gated_unit("") is None


def test_a_removal_is_read_by_its_own_words() -> None:
    command = push.Remove("/etc/x", machine="a.1", resource="x", apply="systemctl -q disable --now app").render()
    assert str(of_command(f"sudo {command}")) == "app stops"


def test_the_unit_names_the_service_of_what_cannot_be_told() -> None:
    assert str(of_command(put("/opt/do-what-you-like", unit="app"))) == "app unknown"


@pytest.mark.parametrize(
    "command", [None, "", "[unknown]", "sudo true", "sh -c 'open", push.Packages(machine="a", names=("x",)).render()]
)
def test_another_command_is_unknown_and_no_push(command: str | None) -> None:
    assert of_command(command).effect is Effect.UNKNOWN
    assert not isinstance(push.parse(command or ""), push.Push)


def test_what_looks_waits_or_grants_leaves_services_alone() -> None:
    """Of all commands beside files that the program gives a stack."""
    commands = {
        resource["urn"].rpartition("-")[2]: resource["inputs"]["create"]
        for stack in ("lab", "oslo")
        for resource in recorded.read(stack)["deployment"]["resources"]
        if resource["type"] == "command:remote:Command"
        and not any(push.paths(command) for command, _ in push.parts(resource["inputs"]["create"], None))
    }
    alone = {"facts", "account", "healthy", "drained", "ended"}
    assert {name for name, create in commands.items() if leaves_services(create)} == alone
    assert set(commands) - alone == {"key", "mounted", "authority"}


@pytest.mark.parametrize(("disabled", "enables"), [(False, []), (True, ["systemctl -q enable mariadb"])])
def test_a_unit_is_enabled_only_if_it_is_not(tmp_path: Path, disabled: bool, enables: list[str]) -> None:
    if disabled:
        (tmp_path / "disabled").touch()
    path = f"{ROOT / 'tests/doubles/bin-host'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PUSH_DOUBLES": str(tmp_path)}
    subprocess.run(["dash", "-c", activation.enable_and_restart("mariadb")], env=environment, check=True, timeout=30)
    assert (tmp_path / "calls").read_text().splitlines() == [
        "systemctl reset-failed mariadb",
        "systemctl -q is-enabled mariadb",
        *enables,
        "systemctl restart mariadb",
    ]
