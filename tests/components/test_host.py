"""A machine's first contact."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import Host, HostArgs
from fortress import firewall, push, text
from tests.components.engine import (
    BASTION_KEY,
    HOST_KEY,
    LEARNT_KEY,
    LOAD,
    LOCAL,
    REMOTE,
    WIREGUARD_KEY,
    check_commands,
    connection,
    kinds,
    landing,
    sent,
    steps,
    texts,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Registration, Run, holds_unknown, plain, run, secret_paths
from tests.doubles.pulumi_resource_command.values import UNKNOWN

HABITS = tuple(f"connection.{part}" for part in ("user", "privateKey", "perDialTimeout", "dialErrorLimit", "proxy"))
BASE = firewall.Base(operators=["192.0.2.10/32", "2001:db8::/64"], ssh_port=22)
QUESTIONS = ("db-key", "db-facts")
"""What others read from."""
HELD = ("connection", "create", "delete", "stdin")
INSTALL = (
    "umask 077; sed -u '/^# fortress-push: end of file$/q' >/usr/local/sbin/fortress-push.new && "
    "tail -n 1 /usr/local/sbin/fortress-push.new | "
    "grep -qxF '# fortress-push: end of file' && chmod 755 /usr/local/sbin/fortress-push.new && "
    'sync /usr/local/sbin/fortress-push.new && /usr/local/sbin/fortress-push.new mine "$@" && '
    "/usr/local/sbin/fortress-push.new tools && "
    "mv /usr/local/sbin/fortress-push.new /usr/local/sbin/fortress-push || "
    "{ rm -f /usr/local/sbin/fortress-push.new; exit 1; }"
)


UNINSTALL = "/usr/local/sbin/fortress-push uninstall --stack data-fortress/lab --machine db.1"


def answers(name: str) -> str:
    return {"db-host-key": f"{LEARNT_KEY}\n", "db-key": f"{WIREGUARD_KEY}\n", "db-facts": "1987\n"}.get(name, "")


def host(preview: bool = False, opts: pulumi.ResourceOptions | None = None, **more: Any) -> Run:
    known: dict[str, Any] = {
        "address": "192.0.2.11",
        "site": "oslo",
        "mesh_address": "10.100.0.1",
        "mesh_network": "10.100.0.0/24",
        "operators": ["192.0.2.10/32", "2001:db8::/64"],
        "user": "ops",
    }

    def program() -> Mapping[str, Any]:
        made = Host("db", HostArgs(**{**known, **more}), opts)  # type: ignore[typeddict-item]
        leaves = ("address", "user", "host_key", "public_key", "machine_id", "ram_mb")
        return {leaf: getattr(made, leaf) for leaf in leaves} | {"member": made.member}

    return run(program, preview=preview, stdout=answers)


def commands(done: Run) -> dict[str, Registration]:
    """Those that run on the host, by name."""
    return {name: found for name, found in done.children("db").items() if found.type == REMOTE}


def confirmed(machine: str) -> str:
    """The command that confirms the base firewall."""
    rules = firewall.render_base(BASE)
    return (
        f"/usr/local/sbin/fortress-push confirm /etc/nftables.conf {hashlib.sha256(rules.encode()).hexdigest()} "
        f"--machine {machine}"
    )


def test_children_and_their_commands() -> None:
    done = host()
    names = ("push", "wg0.conf", "key", "facts")
    assert kinds(done) == {
        "db": ("fortress:index:Host", None),
        "db-host-key": (LOCAL, "db"),
        **{f"db-{name}": (REMOTE, "db") for name in names},
    }
    assert texts(commands(done)) == {
        "db-push": (
            "sudo "
            + steps(
                shlex.join(["sh", "-c", INSTALL, "db.1", "--stack", "data-fortress/lab"]),
                "/usr/local/sbin/fortress-push packages --machine db.1 nftables wireguard-tools",
                "/usr/local/sbin/fortress-push put /etc/nftables.conf 0755 root:root "
                "--check '/usr/local/lib/fortress/wireguard free wg0 && "
                '/usr/local/lib/fortress/in-force nftables-free /etc/nftables.conf && nft -c -f "$1"\' '
                f"--apply {LOAD[:-1]} "
                "&& systemctl -q enable nftables' --confirm 45 --machine db.1",
                undo=UNINSTALL,
            ),
            "sudo "
            + steps(
                "/usr/local/sbin/fortress-push remove /etc/nftables.conf "
                "--apply 'nft delete table inet fortress; systemctl -q disable nftables; "
                '[ -n "$(nft list ruleset)" ] || systemctl stop nftables\' --machine db.1',
                UNINSTALL,
            ),
        ),
        "db-wg0.conf": (
            "sudo "
            + steps(
                confirmed("db.1"),
                "/usr/local/sbin/fortress-push put /etc/wireguard/wg0.conf 0600 root:root "
                "--apply '/usr/local/lib/fortress/wireguard reload wg0' --machine db.1",
            ),
            "sudo /usr/local/sbin/fortress-push remove /etc/wireguard/wg0.conf "
            "--before '/usr/local/lib/fortress/wireguard end wg0' --apply true --machine db.1",
        ),
        "db-key": ("sudo env FORTRESS_MACHINE=db.1 /usr/local/lib/fortress/wireguard start wg0", None),
        "db-facts": (
            "sudo env FORTRESS_MACHINE=db.1 awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo -",
            None,
        ),
    }
    reached = connection(hostKey=LEARNT_KEY)
    patient = {**reached, "dialErrorLimit": 30}
    check_commands(commands(done).values(), reached, db_push=patient, db_facts=patient)


def test_a_firewall_of_another_tool_is_known_or_adopted() -> None:
    found = str(host(firewall_tables=["ip nat", "inet f2b-table"]).resources["db-push"].inputs["create"])
    (put,) = [command for command, _ in push.parts(found, None) if isinstance(command, push.Put)]
    (check,) = re.findall(r"in-force nftables-free (.*?) && nft -c", str(put.check))
    assert shlex.split(check) == [firewall.BASE, "ip nat", "inet f2b-table"]
    adopted = str(host(adopt=True).resources["db-push"].inputs["create"])
    assert "wireguard free wg0 && true && nft -c" in adopted
    with pytest.raises(ValueError, match=r"firewall_tables\[0\]: 'ip nat; x' must be the family and name"):
        host(firewall_tables=["ip nat; x"])


def test_what_is_sent() -> None:
    found = host().resources
    (script, own), *_ = push.parts(str(found["db-push"].inputs["create"]), str(found["db-push"].inputs["stdin"]))
    assert isinstance(script, push.Install)
    assert own == push.content(text.push_script())
    assert landing(found["db-push"], firewall.BASE) == firewall.render_base(BASE)
    tools = push.installed(own)
    assert tools["/usr/local/lib/fortress/wireguard"] == text.script("wireguard")
    assert "Address = 10.100.0.1/24\nListenPort = 51820\n" in sent(found["db-wg0.conf"])
    silent = ("key", "facts")
    assert not any("stdin" in found[f"db-{name}"].inputs for name in silent)


def test_what_services_need_is_installed_with_its_own_packages() -> None:
    create = str(host(packages=["python3", "jq"]).resources["db-push"].inputs["create"])
    assert push.parts(create, None)[1] == (
        push.Packages(machine="db.1", names=("nftables", "wireguard-tools", "python3", "jq")),
        None,
    )
    with pytest.raises(ValueError, match=r"^Host \"db\": packages\[0\]: 'jq; x' must be the name of a Debian package"):
        host(packages=["jq; x"])


def reached_by(*operators: pulumi.Input[str]) -> HostArgs:
    return HostArgs(
        address="192.0.2.11",
        site="oslo",
        mesh_address="10.100.0.1",
        mesh_network="10.100.0.0/24",
        operators=operators,
    )


def test_an_operator_may_come_from_another_resource() -> None:
    def program() -> None:
        gateway = local.Command("gateway", create="true")
        Host("db", reached_by("192.0.2.10/32", gateway.stdout))

    def told(name: str) -> str:
        return "2001:db8::/64" if name == "gateway" else answers(name)

    found = run(program, stdout=told).resources
    assert landing(found["db-push"], firewall.BASE) == firewall.render_base(BASE)
    assert shlex.quote(confirmed("db.1")) in str(found["db-wg0.conf"].inputs["create"])
    first = run(program, preview=True, stdout=told).children("db")
    unknown = {name for name in first if any(holds_unknown(first[name].inputs.get(key)) for key in ("create", "stdin"))}
    assert unknown == {"db-push", "db-wg0.conf"}, "which confirms it"


@pytest.mark.parametrize("known", [True, False])
def test_an_operator_that_is_no_range_is_refused(known: bool) -> None:
    bad = "192.0.2.0/24 accept"

    def program() -> None:
        Host("db", reached_by("192.0.2.10/32", bad if known else pulumi.Output.from_input(bad)))

    with pytest.raises(ValueError, match=rf"Host \"db\": operators\[1\]: '{re.escape(bad)}' must be an address range"):
        run(program, stdout=answers)


def test_the_host_key_is_learnt_on_this_side_once_a_machine() -> None:
    assert host().resources["db-host-key"].inputs == {
        "create": "sh -s",
        "update": "sh -s",
        "stdin": text.script("learn-host-key"),
        "environment": {"ADDRESS": "192.0.2.11", "PORT": "22"},
        "triggers": ["db.1"],
        "logging": "none",
    }


def test_each_step_waits_for_the_one_before() -> None:
    key = "db-host-key"
    assert waits(host().children("db")) == {
        "db-host-key": set(),
        "db-push": {key},
        "db-facts": {key, "db-push"},
        "db-wg0.conf": {key, "db-push"},
        "db-key": {key, "db-wg0.conf"},
    }


def test_outputs() -> None:
    outputs = {name: (seen.value, seen.secret) for name, seen in host().outputs.items()}
    scalars = {
        "address": "192.0.2.11",
        "user": "ops",
        "host_key": LEARNT_KEY,
        "public_key": WIREGUARD_KEY,
        "machine_id": "db.1",
        "ram_mb": 1987,
    }
    whole = {
        **{name: scalars[name] for name in ("address", "user", "host_key", "public_key", "machine_id", "ram_mb")},
        **{"name": "db", "site": "oslo", "port": 22, "mesh_address": "10.100.0.1", "gone": False},
    }
    assert outputs == {**{name: (value, False) for name, value in scalars.items()}, "member": (whole, False)}


def test_registered_outputs_are_the_ones_given() -> None:
    done = host()
    registered = {name: plain(value) for name, value in done.registered["db"].items()}
    assert registered == {name: seen.value for name, seen in done.outputs.items()}


def test_memory_that_is_given_is_not_asked_for() -> None:
    done = host(memory_mb=512)
    assert "db-facts" not in done.resources
    assert done.outputs["ram_mb"].value == 512


def test_a_host_key_that_is_given_is_pinned_and_not_learnt() -> None:
    done = host(host_key=HOST_KEY)
    assert "db-host-key" not in done.resources
    reached = connection()
    patient = {**reached, "dialErrorLimit": 30}
    check_commands(commands(done).values(), reached, db_push=patient, db_facts=patient)
    assert done.outputs["host_key"].value == HOST_KEY


def test_who_uses_the_pinned_key_waits_until_the_host_is_prepared() -> None:
    """A key that is known at once would let other components dial a host without push.sh."""

    def program() -> None:
        args = HostArgs(
            address="192.0.2.11",
            site="oslo",
            mesh_address="10.100.0.1",
            mesh_network="10.100.0.0/24",
            operators=["192.0.2.10/32"],
            host_key=HOST_KEY,
        )
        made = Host("db", args)
        pulumi.ComponentResource("test:index:Reader", "reader", {"key": made.member["host_key"]})

    assert "db-key" in run(program, stdout=answers).resources["reader"].waits


def test_at_first_preview_what_is_unknown_stays_unknown() -> None:
    done = host(preview=True)
    for leaf in ("host_key", "public_key", "ram_mb"):
        assert not done.outputs[leaf].known, leaf
    for leaf in ("address", "user", "machine_id"):
        assert done.outputs[leaf].known, leaf
    for name, found in done.children("db").items():
        unknown = {key for key, value in found.inputs.items() if holds_unknown(value)}
        assert unknown == ({"connection"} if found.type == REMOTE else set()), name
    assert texts(done.children("db")) == texts(host().children("db")), "a reviewer reads the commands that will run"


def test_a_given_key_is_known_at_first_preview() -> None:
    done = host(preview=True, host_key=HOST_KEY)
    assert plain(done.resources["db-wg0.conf"].inputs["connection"]) == connection()


def test_nothing_but_the_connection_is_secret() -> None:
    done = host(private_key="PRIVATE", host_key=HOST_KEY)
    for name, found in commands(done).items():
        assert secret_paths(found.inputs) == {"connection"}, name
        assert plain(found.inputs["connection"])["privateKey"] == "PRIVATE", name
    assert not any(seen.secret for seen in done.outputs.values())
    assert "PRIVATE" not in repr(done.registered)


def test_a_bastion_stands_in_front_of_every_command() -> None:
    bastion = {"address": "198.51.100.1", "user": "jump", "port": 2222, "host_key": BASTION_KEY}
    done = host(bastion=bastion, host_key=HOST_KEY, private_key="PRIVATE")
    proxy = {"host": "198.51.100.1", "user": "jump", "port": 2222, "hostKey": BASTION_KEY, "privateKey": "PRIVATE"}
    proxy |= {"dialErrorLimit": 10, "perDialTimeout": 15}  # the SDK's own
    for name, found in done.children("db").items():
        assert plain(found.inputs["connection"])["proxy"] == proxy, name
        assert secret_paths(found.inputs) == {"connection"}, name
    assert done.outputs["member"].value["bastion"] == bastion


def test_a_key_is_never_learnt_through_a_bastion() -> None:
    bastion = {"address": "198.51.100.1", "user": "jump", "port": 22, "host_key": BASTION_KEY}
    with pytest.raises(ValueError, match=r"^Host \"db\": host_key: needed with a bastion, through which it"):
        host(bastion=bastion)


def test_root_needs_no_sudo() -> None:
    done = host(user="root")
    lines = [text for pair in texts(commands(done)).values() for text in pair if text]
    assert not any("sudo" in str(text) for text in lines)
    assert "env FORTRESS_MACHINE=db.1 /usr/local/lib/fortress/wireguard start wg0" in lines


def test_another_machine_changes_each_command_and_replaces_none() -> None:
    first, second = host().children("db"), host(incarnation=2).children("db")
    assert second["db-host-key"].inputs["triggers"] == ["db.2"], "its key is learnt anew"
    for name in set(first) - {"db-host-key"}:
        for key in ("create", "delete"):
            before, after = first[name].inputs.get(key), second[name].inputs.get(key)
            assert (before is None) == (after is None), name
            assert before is None or str(before).replace("db.1", "db.2") == after != before, name
        assert "triggers" not in second[name].inputs, name


def test_a_machine_that_is_gone_is_left_alone() -> None:
    done = host(gone=True, opts=pulumi.ResourceOptions(retain_on_delete=True))
    standing = host()
    assert done.resources["db"].retain_on_delete
    for name, found in done.children("db").items():
        assert found.retain_on_delete, f"{name}: its delete would dial a dead machine"
        held = ("create", "update", "stdin", "environment", "triggers") if name == "db-host-key" else HELD
        assert found.ignore_changes == held, name
        assert not found.asked_again_on, name
        assert found.inputs == without_commands(standing.resources[name]), name
    assert done.outputs["member"].value["gone"] is True


def test_what_others_read_is_not_asked_again_for_another_login() -> None:
    """Previews keep what is known, and whatever is asked again is asked by today's login, for which it is replaced."""
    standing = commands(host(host_key=HOST_KEY))
    expected = {name: HABITS if name in QUESTIONS else () for name in standing}
    kept = {name: tuple(each for each in found.ignore_changes if each in HABITS) for name, found in standing.items()}
    assert kept == expected
    bastion = {"address": "198.51.100.1", "user": "jump", "port": 2222, "host_key": BASTION_KEY}
    for login in ({"user": "admin"}, {"private_key": "PRIVATE"}, {"bastion": bastion}):
        changed = commands(host(host_key=HOST_KEY, **login))
        for name, found in changed.items():
            assert plain(found.inputs["connection"]) != plain(standing[name].inputs["connection"]), (name, login)
            assert found.asked_again_on == standing[name].asked_again_on, (name, login)
            if name not in QUESTIONS:
                assert not found.asked_again_on, name


@pytest.mark.parametrize(
    "changed",
    [
        {"incarnation": 2},
        {"address": "192.0.2.12"},
        {"port": 2222},
        {"host_key": LEARNT_KEY},
        {"user": "root"},
    ],
)
def test_what_others_read_is_asked_again_by_a_replacement(changed: dict[str, Any]) -> None:
    standing, after = host(host_key=HOST_KEY), host(**{"host_key": HOST_KEY, **changed})
    for name in QUESTIONS:
        before, now = standing.resources[name], after.resources[name]
        assert before.asked_again_on, name
        assert before.asked_again_on != now.asked_again_on, name
        assert "delete" not in now.inputs, f"{name}: its delete would dial the login before"


def test_only_what_nobody_reads_takes_the_tunnel_down() -> None:
    found = host().children("db")
    assert {name for name, each in found.items() if "wireguard end" in str(each.inputs.get("delete"))} == {
        "db-wg0.conf"
    }
    # What an earlier version recorded there would dial a login that was retired.
    assert {name for name, each in found.items() if each.retain_on_delete} == set(QUESTIONS)
    assert all("delete" in found[name].ignore_changes for name in QUESTIONS)


def test_numbers_that_arrive_as_floats_are_written_whole() -> None:
    def numbers(kind: type) -> Run:
        return host(port=kind(2222), mesh_port=kind(51821), incarnation=kind(3), memory_mb=kind(512))

    floats, whole = numbers(float), numbers(int)
    for name, found in floats.children("db").items():
        assert found.inputs == whole.resources[name].inputs, name
    assert floats.resources["db-host-key"].inputs["environment"] == {"ADDRESS": "192.0.2.11", "PORT": "2222"}
    assert "ListenPort = 51821\n" in sent(floats.resources["db-wg0.conf"])
    assert floats.outputs["machine_id"].value == "db.3"
    assert (floats.outputs["ram_mb"].value, type(floats.outputs["ram_mb"].value)) == (512, int)


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        args = HostArgs(
            address="192.0.2.11",
            site="oslo",
            mesh_address="10.100.0.1",
            mesh_network="10.100.0.0/24",
            operators=["192.0.2.10/32"],
        )
        Host("db", args, pulumi.ResourceOptions(depends_on=[gate]))

    done = run(program, stdout=answers)
    assert all("gate" in found.waits for found in done.children("db").values())


def test_an_address_that_comes_from_a_machine_is_not_known_yet() -> None:
    def program() -> Mapping[str, Any]:
        machine = local.Command("machine", create="true")
        args = HostArgs(
            address=machine.stdout,
            site="oslo",
            mesh_address="10.100.0.1",
            mesh_network="10.100.0.0/24",
            operators=["192.0.2.10/32"],
        )
        return {"address": Host("db", args).address}

    done = run(program, preview=True)
    assert not done.outputs["address"].known
    environment = done.resources["db-host-key"].inputs["environment"]
    assert environment == {"ADDRESS": UNKNOWN, "PORT": "22"}


@pytest.mark.parametrize(
    ("command", "printed", "said"),
    [
        ("db-key", f"{WIREGUARD_KEY}\nAllowedIPs = 10.100.0.5/32\n", "db was asked for its WireGuard public key"),
        ("db-facts", "1987\n5 errors\n", "db was asked for its memory"),
        ("db-host-key", f"{LEARNT_KEY}\nssh-rsa AAAA\n", "db showed no host key"),
    ],
)
def test_an_answer_that_is_more_than_was_asked_for_is_refused(command: str, printed: str, said: str) -> None:
    def told(name: str) -> str:
        return printed if name == command else answers(name)

    def program() -> Mapping[str, Any]:
        made = Host("db", reached_by("192.0.2.10/32"))
        return {"public_key": made.public_key, "ram_mb": made.ram_mb, "host_key": made.host_key}

    with pytest.raises(ValueError, match=said):
        run(program, stdout=told)
