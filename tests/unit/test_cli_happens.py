"""The block of a comment that says what happens, and what the rest says of hosts that come, go or stay."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fortress import activation, haproxy, mariadb, push
from fortress.activation import Effect
from fortress.cli.preview.comment import render
from fortress.cli.preview.files import outlook, unified
from fortress.cli.preview.plan import Plan, parse
from tests.unit.plans import HOST, UNKNOWN, file, plan, pushed, step, urn

COMMAND = "fortress:index:Host$command:remote:Command"
HOST_TYPE = "fortress:index:Host"


def happens(found: Plan) -> list[str]:
    """The sentences of the block."""
    block = re.search(r"^### What happens\n\n(.*?)\n\n", render("lab", found), re.M | re.S)
    return [] if block is None else [line.removeprefix("- ") for line in block[1].split("\n")]


def host(op: str, name: str) -> dict[str, Any]:
    """The component of a host."""
    state = {"urn": urn(HOST_TYPE, name), "custom": False}
    before, after = op != "create", op != "delete"
    return {
        "op": op,
        "urn": urn(HOST_TYPE, name),
        **({"oldState": state} if before else {}),
        **({"newState": state} if after else {}),
    }


def on(name: str, op: str, old: Any = None, new: Any = None, path: str = "x", **more: Any) -> dict[str, Any]:
    """A command on that host."""
    return step(op, COMMAND, f"{name}-{path}", old, new, parent=urn(HOST_TYPE, name), **more)


def removable(text: str, path: str = "/etc/x", apply: str = "systemctl restart app", ends: str = "true") -> Any:
    """The inputs of a file that knows how it is removed."""
    removal = push.Remove(path, machine="a.1", resource="x", apply=ends)
    return {**file(text, path, apply), "delete": "sudo " + removal.render()}


# --- hosts and services -----------------------------------------------------------------------------------------------


def test_a_service_of_a_new_host_starts_and_its_files_are_folded() -> None:
    long = "".join(f"line {number}\n" for number in range(60))
    found = plan(
        host("create", "b"), on("b", "create", None, file(long)), on("b", "create", None, file("a", "/etc/y"), "y")
    )
    assert happens(found) == ["`b` is new: `app` starts there.", "No data is touched."]
    text = render("lab", found)
    assert (
        "#### `b`\n\nNew: `app` starts.\n\n<details><summary>2 files</summary>\n\n`/etc/x` is new: `app` starts\n"
        in text
    )
    assert "restarts" not in text.split("<summary>Full report")[0]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("max_connections = 1000", "max_connections = 400", "takes new values without a restart on `a`."),
        ("back_log = 80", "back_log = 90", "**restarts** on `a`: connections to it end, what is committed stays."),
        ("back_log = 80", "", "**restarts** on `a`: connections to it end, what is committed stays."),
        ("# one", "# other", "takes new values without a restart on `a`."),
    ],
)
def test_variables_of_the_database(before: str, after: str, said: str) -> None:
    apply = activation.live_or_restart("mariadb")
    one, other = (file(f"[mariadbd]\n{text}\n", mariadb.CONFIG_PATH, apply) for text in (before, after))
    found = plan(host("same", "a"), on("a", "update", one, other))
    assert happens(found) == [f"`mariadb` {said}", "No data is touched."]


def test_a_service_that_a_host_did_not_have_starts_there_and_one_that_it_has_restarts() -> None:
    has = pushed("same", file("a"), file("a"), name="app")
    same_service = pushed("create", None, file("b", "/etc/new"), name="new")
    other_service = pushed("create", None, file("b", "/etc/web", "systemctl restart web"), name="web")
    assert happens(plan(has, same_service)) == ["`app` **restarts** on `a`.", "No data is touched."]
    assert happens(plan(has, other_service)) == ["`web` starts on `a`.", "No data is touched."]


def test_a_removed_host_says_what_stops_and_its_files_are_folded() -> None:
    found = plan(
        host("delete", "b"),
        on("b", "delete", removable("a\n" * 30, ends="systemctl -q disable --now app"), None),
        on("b", "delete", removable("a\n", "/etc/y", ends="systemctl reload web"), None, "y"),
    )
    assert happens(found) == ["`b` **is removed**; `app` stops there.", "No data is touched."]
    text = render("lab", found)
    assert (
        "#### `b`\n\nRemoved: `app` **stops**.\n\n<details><summary>2 files</summary>\n\n`/etc/x` is removed\n" in text
    )


def test_a_new_machine_says_no_more_of_its_services_than_is_known() -> None:
    unknown = {**file("a"), "create": UNKNOWN}
    made = step("create", "aws:ec2/instance:Instance", "b-machine", None, {}, parent=urn(HOST_TYPE, "b"))
    found = plan(host("create", "b"), made, on("b", "create", None, unknown))
    assert happens(found) == ["`b` is new.", "No data is touched."]
    assert "#### `b`\n\nNew: which services start there is known once its machine is.\n" in render("lab", found)


def test_a_host_that_goes_with_its_machine_says_so() -> None:
    kind = "aws:ec2/instance:Instance"
    ended = step("delete", kind, "b-machine", {}, None, parent=urn(HOST_TYPE, "b"))
    found = plan(host("delete", "b"), ended, on("b", "delete", removable("a"), None))
    assert happens(found)[0] == "`b` **is removed** with its machine."


def test_a_long_text_that_becomes_unknown_is_folded() -> None:
    long = "".join(f"line {number}\n" for number in range(30))
    new = {**file("a"), "stdin": UNKNOWN}
    text = render("lab", plan(pushed("update", file(long), new, diffReasons=["stdin"])))
    assert "`/etc/x` changes: `app` **restarts**\n\n<details><summary>31 lines of" in text


def test_services_are_grouped_by_what_happens_to_them_and_where() -> None:
    both = [
        host("same", "b"),
        *(
            on(name, "update", file("1", path, apply), file("2", path, apply), path, diffReasons=["stdin"])
            for name in ("a", "b")
            for path, apply in (("/etc/x", "systemctl restart app"), ("/etc/y", "systemctl reload web"))
        ),
    ]
    assert happens(plan(*both)) == [
        "`app` **restarts** on `a` and `b`.",
        "`web` reloads on `a` and `b`.",
        "No data is touched.",
    ]
    third = [host("same", "c"), on("c", "update", file("1"), file("2"), "/etc/x", diffReasons=["stdin"])]
    assert "`app` **restarts** on all 3 hosts." in happens(plan(*both, *third))


def test_hosts_come_in_the_order_of_what_happens_to_them() -> None:
    reload = ("/etc/y", "systemctl reload web")
    steps = [
        host("same", "b"),
        host("same", "c"),
        host("create", "d"),
        host("delete", "e"),
        on("a", "update", file("1", *reload), file("2", *reload), diffReasons=["stdin"]),
        on("b", "update", file("1"), file("2"), diffReasons=["stdin"]),
        on("c", "update", file("1"), file("1"), diffReasons=["connection"]),
        on("d", "create", None, file("1")),
        on("e", "delete", removable("1"), None),
    ]
    text = render("lab", plan(*steps))
    assert re.findall(r"^#### `(\w)`$", text, re.M) == ["e", "b", "d", "a", "c"]


@pytest.mark.parametrize(
    ("kind", "property"),
    [
        ("openstack:compute/instance:Instance", "flavorName"),
        ("aws:ec2/instance:Instance", "instanceType"),
    ],
)
def test_a_machine_of_another_size_reboots(kind: str, property: str) -> None:
    machine = step("update", kind, "a-machine", {property: "1"}, {property: "2"}, parent=HOST, diffReasons=[property])
    assert happens(plan(machine)) == ["`a` **reboots**: its machine gets another size.", "No data is touched."]
    tag = step("update", kind, "a-machine", {"tags": "1"}, {"tags": "2"}, parent=HOST, diffReasons=["tags"])
    assert happens(plan(tag)) == ["No data is touched."]


def test_a_machine_that_is_replaced_gets_everything_and_its_services_start() -> None:
    machine = step("replace", "aws:ec2/instance:Instance", "a-machine", {}, {}, parent=HOST, replaceReasons=["ami"])
    new = {**file("1"), "create": UNKNOWN}
    unit = pushed("update", file("1"), new, diffReasons=["create"])
    assert happens(plan(machine, unit))[:2] == [
        "`a` **is another machine**, which gets everything again.",
        "`app` starts on `a`.",
    ]


def test_what_becomes_of_a_service_unknown_is_said() -> None:
    found = plan(pushed("update", file("1"), file("2", apply="/opt/do-what-you-like"), diffReasons=["stdin"]))
    assert happens(found)[0] == "What a file on `a` does to a service cannot be told."
    two = [
        pushed("update", file("1", path, "/opt/x"), file("2", path, "/opt/x"), path, diffReasons=["stdin"])
        for path in ("/etc/x", "/etc/y")
    ]
    assert happens(plan(*two))[0] == "What 2 files on `a` do to a service cannot be told."


def test_the_database_says_what_its_restart_means() -> None:
    apply = "systemctl -q enable mariadb && systemctl restart mariadb"
    found = plan(pushed("update", file("1", apply=apply), file("2", apply=apply), diffReasons=["stdin"]))
    assert happens(found)[0] == "`mariadb` **restarts** on `a`: connections to it end, what is committed stays."


def test_a_plan_that_stopped_and_one_that_changes_nothing_have_no_such_block() -> None:
    said = [{"severity": "error", "message": "error: no"}]
    assert (
        happens(plan(pushed("update", file("1"), file("2"), diffReasons=["stdin"]), status=255, diagnostics=said)) == []
    )
    assert happens(plan(pushed("same", file("1"), file("1")))) == []


# --- the edge ---------------------------------------------------------------------------------------------------------

EDGE = ("/etc/haproxy/haproxy.cfg", "systemctl -q enable haproxy && systemctl reload-or-restart haproxy")


def haproxy_cfg(oslo: list[str], frankfurt: list[str]) -> str:
    """As the edge renders it."""
    sites = {
        name: haproxy.Backend(site=name, servers=dict.fromkeys(servers, "10.100.0.9:80"), maxconn=40)
        for name, servers in (("oslo", oslo), ("frankfurt", frankfurt))
    }
    return haproxy.render(
        haproxy.Edge(server_name="fortress.example", primary=sites["oslo"], overflow=sites["frankfurt"])
    )


def test_the_servers_of_each_site_are_read_as_they_are_written() -> None:
    assert haproxy.servers(haproxy_cfg(["b", "a"], [])) == {"oslo": ("a", "b"), "frankfurt": ()}


def test_who_leaves_the_edge_is_said_and_that_a_site_is_empty_then() -> None:
    before, after = haproxy_cfg(["web"], ["fra-1", "fra-2"]), haproxy_cfg(["web", "web-2"], [])
    found = plan(pushed("update", file(before, *EDGE), file(after, *EDGE), diffReasons=["stdin"]))
    assert happens(found) == [
        "`fra-1` and `fra-2` **leave the edge**; no server of `frankfurt` is left there.",
        "`web-2` joins the edge, at `oslo`.",
        "`haproxy` reloads on `a`.",
        "No data is touched.",
    ]


def test_an_edge_whose_servers_are_not_known_says_so() -> None:
    old, new = file(haproxy_cfg(["web"], []), *EDGE), {**file("", *EDGE), "stdin": UNKNOWN}
    found = plan(pushed("update", old, new, diffReasons=["stdin"]))
    assert "Who serves at the edge afterwards is not known yet." in happens(found)


def test_a_change_is_placed_by_its_section_and_not_by_a_number() -> None:
    before, after = haproxy_cfg(["web"], ["fra-1", "fra-2"]), haproxy_cfg(["web"], ["fra-2"])
    [change] = plan(pushed("update", file(before, *EDGE), file(after, *EDGE), diffReasons=["stdin"])).changing
    lines = unified(change).split("\n")
    assert lines[0] == "@@ backend frankfurt @@"
    assert "-    server fra-1 10.100.0.9:80 tcp-ut 2s" in lines


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a\n", "b\n", "-a\n+b\n"),
        ("[A]\nx=1\n\n\n\n\ny=1\n", "[A]\nx=1\n\n\n\n\ny=2\n", "@@ [A] @@\n \n \n \n-y=1\n+y=2\n"),
        ("[A]\nx=1\n\n\n\n\n", "[A]\nx=2\n\n\n\n\n", "@@ … @@\n [A]\n-x=1\n+x=2\n \n \n \n"),
        ("a\nb\nc\nd\ne\n", "a\nb\nc\nd\nf\n", "@@ … @@\n b\n c\n d\n-e\n+f\n"),
    ],
)
def test_a_hunk_names_the_heading_that_it_does_not_show(before: str, after: str, shown: str) -> None:
    [change] = plan(pushed("update", file(before), file(after), diffReasons=["stdin"])).changing
    assert unified(change) == shown


# --- another connection, secrets, data --------------------------------------------------------------------------------

ASKED = urn(COMMAND, "authority")


def authority(differing: list[str]) -> dict[str, Any]:
    """The command that a file's text comes from, as it runs again."""
    return pushed("update", {"create": "x"}, {"create": "x"}, name="authority", diffReasons=differing)


def asked_again(new: dict[str, str]) -> dict[str, Any]:
    """A file with the answer of that command in it."""
    return pushed(
        "update",
        file("a"),
        {**new, "stdin": UNKNOWN},
        diffReasons=["connection", "stdin"],
        new_more={"propertyDependencies": {"stdin": [ASKED]}},
    )


def test_a_text_that_is_unknown_only_since_a_connection_changed_restarts_nothing_by_itself() -> None:
    found = plan(authority(["connection"]), asked_again(file("a")))
    said = happens(found)
    assert said[0] == (
        "`/etc/x` on `a`: only the connection to the host that it comes from changes, so its text is asked again; "
        "`app` restarts only if that is another."
    )
    assert not any("**restarts**" in line for line in said)
    text = render("lab", found)
    assert "`/etc/x` is asked again: `app` restarts only if the text is another\n" in text
    seen = outlook(found)
    [change] = [each for each in found.changing if each.name == "x"]
    assert seen.said(change) == "app restarts only if the text is another"


@pytest.mark.parametrize("differing", [["connection", "create"], ["stdin"]])
def test_a_text_whose_origin_changes_too_is_a_restart(differing: list[str]) -> None:
    assert happens(plan(authority(differing), asked_again(file("a"))))[0] == "`app` **restarts** on `a`."


def test_a_text_asked_again_for_another_machine_is_a_restart() -> None:
    other = file("a")
    other["create"] = other["create"].replace("a.1", "a.2")
    found = outlook(plan(authority(["connection"]), asked_again(other)))
    assert found.hosts["a"].services == {"app": Effect.RESTARTS}


def account(differing: list[str]) -> dict[str, Any]:
    """The command that gives the database's account its password."""
    line = "sudo " + push.for_machine("a.1", *push.script("mariadb-access", "ensure", "app"))
    inputs = {"create": line, "stdin": "[secret]"}
    return pushed("update", inputs, inputs, name="account", diffReasons=differing)


def password(differing: list[str]) -> dict[str, Any]:
    inputs = {**file("x", "/etc/password"), "stdin": "[secret]"}
    return pushed("update", inputs, inputs, name="password", diffReasons=differing)


def test_a_changed_connection_is_no_changed_password() -> None:
    found = plan(account(["connection"]), password(["connection"]))
    said = happens(found)
    assert "No password changes." in said
    assert not any("**changes**" in line for line in said)
    assert "Its text is secret" not in render("lab", found)


def test_a_changed_password_is_said_for_what_it_is() -> None:
    said = happens(plan(account(["connection", "stdin"]), password(["stdin"])))
    assert said[:1] == ["`app` **restarts** on `a`."]
    assert "The database's password **changes**." in said
    assert "The secret text of `/etc/password` on `a` **changes**." in said
    assert "No password changes." not in said


def test_data_that_is_at_risk_or_changes_in_place_is_said_last() -> None:
    kind = "openstack:blockstorage/volume:Volume"
    lost = step("replace", kind, "db-data", {"type": "a"}, {"type": "b"}, replaceReasons=["type"])
    assert happens(plan(lost))[-1] == "**Data is at risk**, as said above."
    grown = step("update", kind, "db-data", {"size": 1}, {"size": 2}, diffReasons=["size"])
    assert happens(plan(grown))[-1] == "`db-data`, where data is, changes in place."


# --- certificates, noise ----------------------------------------------------------------------------------------------


def certificate(day: int) -> str:
    """A certificate for two names, from that day of 2026."""
    key, name = Ed25519PrivateKey.generate(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    begin = datetime(2026, 1, day, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(day)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("db.example")]), critical=False)
        .sign(key, None)
    )
    return made.public_bytes(Encoding.PEM).decode()


def test_a_certificate_is_shown_by_its_names_and_dates() -> None:
    old, new = certificate(1), certificate(2)
    text = render("lab", plan(pushed("update", file(old), file(new), diffReasons=["stdin"])))
    assert re.search(
        r"^-\[certificate of CN=authority, db\.example; valid 2026-01-01 to 2026-04-01; sha256 [0-9a-f]{16}\]\n"
        r"\+\[certificate of CN=authority, db\.example; valid 2026-01-02 to 2026-04-02; sha256 [0-9a-f]{16}\]$",
        text,
        re.M,
    )
    assert "BEGIN CERTIFICATE" not in text


def test_what_only_looks_like_a_certificate_stays_as_it_is() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
    text = render("lab", plan(pushed("create", None, file(pem))))
    assert "+bm9uZQ==\n" in text


def test_what_the_engine_says_of_any_plan_is_left_out() -> None:
    said = [
        {"severity": "warning", "message": "warning: using pulumi-resource-command from $PATH at /x\n"},
        {
            "severity": "info",
            "message": "pulumi-resource-command 1: this is the stand-in of tests/doubles, not Pulumi's",
        },
        {"severity": "info", "message": 'cannot ignore changes in added or removed elements of the path: "a"'},
    ]
    steps = [host("same", "a"), pushed("update", file("1"), file("2"), diffReasons=["stdin"])]
    assert "Other engine output" not in render("lab", parse({"steps": steps, "diagnostics": said}, 0))
    said.append({"severity": "warning", "message": "192.0.2.9 does not answer SSH on port 22."})
    assert "Other engine output" in render("lab", parse({"steps": steps, "diagnostics": said}, 0))
