"""A workload on a host that may be thrown away."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi_command import local

from components import EphemeralWorker, EphemeralWorkerArgs
from fortress import push
from tests.components.engine import (
    LOAD,
    REMOTE,
    check_commands,
    connection,
    files,
    kinds,
    member,
    texts,
    together,
    waits,
    without_commands,
)
from tests.doubles.pulumi_mocks import Run, holds_unknown, run, secret_paths
from tests.doubles.pulumi_resource_command.values import Secret

HOST = member("fra-1", site="frankfurt", mesh_address="10.100.0.2")
WORK: dict[str, Any] = {
    "name": "app",
    "command": "/usr/bin/python3 /opt/app/app.py",
    "port": 80,
    "health": "/health",
    "packages": ["python3-pymysql"],
    "files": {"/opt/app/app.py": "print('hello')\n", "/etc/app/app.py": "other = 1\n"},
    "environment": {"GREETING": "hei på deg"},
}
DATABASE: dict[str, Any] = {"address": "10.100.0.1", "port": 3306, "name": "data", "user": "web", "ca_pem": "PEM\n"}
NAMES = ("credentials", "files", "healthy")
CODE = ("/opt/app/app.py", "/etc/app/app.py")
UNIT = "/etc/systemd/system/app.service"
FRAGMENT = "/etc/nftables.d/30-app.nft"
CA, PASSWORD = "/etc/fortress/app/database-ca.pem", "/etc/fortress/app/database-password"
CHANGED = "touch /run/fortress-changed-app"
RESET = "systemctl reset-failed app 2>/dev/null"
RESTART = f"{RESET}; if systemctl -q is-enabled app; then systemctl restart app; fi"


def child(name: str) -> str:
    return f"fra-1-{name}"


def args(work: Mapping[str, Any] = WORK, database: Mapping[str, Any] = DATABASE, **more: Any) -> EphemeralWorkerArgs:
    known: dict[str, Any] = {
        "host": HOST,
        "workload": work,
        "clients": ["10.100.0.3"],
        "database": database,
        "database_password": "HUSH",
    }
    return EphemeralWorkerArgs(**{**known, **more})  # type: ignore[typeddict-item]


def worker(preview: bool = False, opts: pulumi.ResourceOptions | None = None, **more: Any) -> Run:
    return run(lambda: {"ready": EphemeralWorker("fra-1", args(**more), opts).ready}, preview=preview)


def test_children_and_their_commands() -> None:
    done = worker()
    assert kinds(done) == {
        "fra-1": ("fortress:index:EphemeralWorker", None),
        **{child(name): (REMOTE, "fra-1") for name in NAMES},
    }
    check_commands(done.children("fra-1").values(), connection())
    machine = "fra-1.1"
    stop = "systemctl -q disable --now app; systemctl daemon-reload"
    assert texts(done.children("fra-1")) == {
        "fra-1-credentials": together(dict.fromkeys((CA, PASSWORD), RESTART), machine=machine),
        "fra-1-files": together(
            {FRAGMENT: LOAD.strip("'"), **dict.fromkeys(CODE, RESTART), UNIT: stop},
            machine=machine,
            first=f"/usr/local/sbin/fortress-push packages --machine {machine} python3 python3-pymysql",
        ),
        "fra-1-healthy": (
            f"sudo env FORTRESS_MACHINE={machine} /usr/local/lib/fortress/wait-healthy "
            "http://10.100.0.2:80/health 60 app",
            None,
        ),
    }


def test_how_each_file_is_put() -> None:
    found = worker().resources
    start = (
        f"{RESET}; systemctl daemon-reload && systemctl -q enable app && systemctl restart app "
        "&& rm -f /run/fortress-changed-app"
    )

    def how(put: push.Put) -> tuple[object, ...]:
        return (put.mode, put.owner, put.check, put.apply, put.unit)

    put = {path: how(put) for name in ("credentials", "files") for path, (put, _) in files(found[child(name)]).items()}
    assert put == {
        CA: ("0644", "root:root", None, CHANGED, None),
        PASSWORD: ("0400", "root:root", None, CHANGED, None),
        FRAGMENT: ("0644", "root:root", 'nft -c -f "$1"', LOAD.strip("'"), None),
        **dict.fromkeys(CODE, ("0644", "root:root", None, CHANGED, None)),
        UNIT: ("0644", "root:root", None, start, "app"),
    }


def landing(done: Run, path: str) -> str:
    """The text that lands at a path."""
    return files(done.resources["fra-1-files"])[path][1]


def test_what_is_sent() -> None:
    done = worker()
    assert [landing(done, path) for path in CODE] == ["print('hello')\n", "other = 1\n"]
    secrets = files(done.resources["fra-1-credentials"])
    assert {path: text for path, (_, text) in secrets.items()} == {CA: "PEM\n", PASSWORD: "HUSH\n"}
    rule = 'iifname "wg0" ip saddr { 10.100.0.3 } tcp dport 80 accept  # app'
    assert [line.strip() for line in landing(done, FRAGMENT).splitlines() if "accept" in line] == [rule]


@pytest.mark.parametrize("put_again", ["fra-1-files", "fra-1-credentials"])
def test_each_put_of_what_the_unit_reads_is_waited_for(put_again: str) -> None:
    """Also of the very text that stood before: a release that failed there came between."""

    def gate(answer: str) -> object:
        made = run(
            lambda: {"ready": EphemeralWorker("fra-1", args()).ready},
            stdout=lambda name: f"put {answer if name == put_again else 'before'}",
        )
        return made.resources["fra-1-healthy"].inputs["stdin"]

    first = gate("before")
    assert re.fullmatch(r"workload [0-9a-f]{16}\n", str(first))
    assert gate("before") == first
    assert gate("again") != first


def test_a_preview_of_a_worker_that_stays_knows_that_its_gate_does_not_run() -> None:
    def program() -> Mapping[str, Any]:
        return {"ready": EphemeralWorker("fra-1", args()).ready}

    known = run(program, preview=True, standing=[child(name) for name in NAMES])
    assert known.resources["fra-1-healthy"].inputs["stdin"] == run(program).resources["fra-1-healthy"].inputs["stdin"]


def test_the_unit_says_where_the_database_is() -> None:
    lines = landing(worker(), UNIT).splitlines()
    assert "ExecStart=/usr/bin/python3 /opt/app/app.py" in lines
    assert [line for line in lines if line.startswith(("Environment", "LoadCredential"))] == [
        "Environment=FORTRESS_DATABASE_ADDRESS=10.100.0.1",
        "Environment=FORTRESS_DATABASE_CA=/etc/fortress/app/database-ca.pem",
        "Environment=FORTRESS_DATABASE_NAME=data",
        "Environment=FORTRESS_DATABASE_PORT=3306",
        "Environment=FORTRESS_DATABASE_USER=web",
        "Environment=FORTRESS_HOST=fra-1",
        "Environment=FORTRESS_LISTEN=10.100.0.2:80",
        "Environment=FORTRESS_SITE=frankfurt",
        'Environment="GREETING=hei på deg"',
        "LoadCredential=database-password:/etc/fortress/app/database-password",
    ]


def test_order() -> None:
    assert waits(worker().children("fra-1")) == {
        "fra-1-credentials": set(),
        "fra-1-files": {"fra-1-credentials"},
        "fra-1-healthy": {"fra-1-credentials", "fra-1-files"},
    }


def test_children_wait_for_what_the_component_waits_for() -> None:
    def program() -> None:
        gate = local.Command("gate", create="true")
        EphemeralWorker("fra-1", args(), pulumi.ResourceOptions(depends_on=[gate]))

    alone = waits(worker().children("fra-1"))
    assert waits(run(program).children("fra-1")) == {name: needed | {"gate"} for name, needed in alone.items()}


def test_ready_comes_after_the_gate() -> None:
    def program() -> Mapping[str, Any]:
        made = EphemeralWorker("fra-1", args())
        local.Command("late", create=made.ready.apply(str))
        local.Command("asks", create=made.endpoint)
        return {"ready": made.ready}

    done = run(program)
    assert (done.outputs["ready"].value, done.outputs["ready"].secret) == (True, False)
    assert "fra-1-healthy" in done.resources["late"].waits
    assert done.resources["asks"].inputs["create"] == f"{args()['host']['mesh_address']}:{WORK['port']}"
    assert "fra-1-healthy" in done.resources["asks"].waits
    assert done.registered["fra-1"] == {"ready": True, "endpoint": done.resources["asks"].inputs["create"]}
    assert not worker(preview=True).outputs["ready"].known


def test_the_password_is_secret_and_nothing_else_is() -> None:
    done = worker(private_key="PRIVATE")
    for name, found in done.children("fra-1").items():
        secret = {"connection", "stdin"} if name == "fra-1-credentials" else {"connection"}
        assert secret_paths(found.inputs) == secret, name
        assert "HUSH" not in repr({**found.inputs, "stdin": None}), name
    assert isinstance(done.resources["fra-1-credentials"].inputs["stdin"], Secret)


@pytest.mark.parametrize(("leaf", "file"), [("address", "files"), ("ca_pem", "credentials")])
def test_what_is_unknown_of_the_database_hides_what_holds_it(leaf: str, file: str) -> None:
    def program() -> None:
        later = local.Command("later", create="date")
        EphemeralWorker("fra-1", args(database={**DATABASE, leaf: later.stdout}))

    done = run(program, preview=True)
    unknown = {name for name, found in done.children("fra-1").items() if holds_unknown(found.inputs.get("stdin"))}
    assert unknown - {"fra-1-healthy"} == {child(file)}
    assert texts(done.children("fra-1")) == texts(worker().children("fra-1"))


def test_a_workload_needs_no_files_packages_or_environment() -> None:
    least = {name: WORK[name] for name in ("name", "command", "port", "health")}
    done = worker(work=least)
    assert set(files(done.resources["fra-1-files"])) == {FRAGMENT, UNIT}
    assert " packages --machine fra-1.1 python3'" in str(done.resources["fra-1-files"].inputs["create"])
    assert "GREETING" not in landing(done, UNIT)


def test_what_the_fortress_says_is_not_for_the_workload_to_change() -> None:
    environment = {"FORTRESS_DATABASE_ADDRESS": "198.51.100.1"}
    with pytest.raises(ValueError, match=r"workload\.environment: 'FORTRESS_DATABASE_ADDRESS' must not start with"):
        worker(work={**WORK, "environment": environment})

    def program() -> None:
        EphemeralWorker("fra-1", args({**WORK, "environment": pulumi.Output.from_input(environment)}))

    with pytest.raises(ValueError, match=r"workload\.environment: is an Output, known only later"):
        run(program)


def test_numbers_that_arrive_as_floats_are_written_whole() -> None:
    floats = worker(work={**WORK, "port": 8080.0, "healthy_within_s": 90.0}, database={**DATABASE, "port": 3307.0})
    whole = worker(work={**WORK, "port": 8080, "healthy_within_s": 90}, database={**DATABASE, "port": 3307})
    assert floats.resources == whole.resources
    gate = str(floats.resources["fra-1-healthy"].inputs["create"])
    assert gate.endswith(" http://10.100.0.2:8080/health 90 app")


def test_another_machine_changes_each_command_and_replaces_none() -> None:
    first = texts(worker().children("fra-1"))
    second = texts(worker(host={**HOST, "machine_id": "fra-1.2"}).children("fra-1"))
    assert second == {
        name: tuple(text and str(text).replace("fra-1.1", "fra-1.2") for text in pair) for name, pair in first.items()
    }
    assert all("fra-1.1" in str(pair[0]) for pair in first.values())


def test_a_machine_that_is_gone_is_left_alone() -> None:
    done = worker(host={**HOST, "gone": True}, opts=pulumi.ResourceOptions(retain_on_delete=True))
    standing = worker()
    for name, found in done.children("fra-1").items():
        assert found.retain_on_delete, name
        assert found.ignore_changes == ("connection", "create", "delete", "stdin"), name
        assert found.inputs == without_commands(standing.resources[name]), name


def test_a_worker_without_a_database() -> None:
    done = worker(database=None, database_password=None)
    assert set(done.children("fra-1")) == {"fra-1-files", "fra-1-healthy"}
    unit = landing(done, UNIT)
    assert "FORTRESS_HOST=fra-1" in unit
    assert "DATABASE" not in unit
    assert "LoadCredential" not in unit


def test_files_land_byte_for_byte() -> None:
    picture = bytes(range(256))
    texts = {"/opt/app/dos.cfg": "a\r\nb\r\n", "/opt/app/open": "no line feed"}
    binary = {"/opt/app/logo.png": base64.b64encode(picture).decode()}
    done = worker(work={**WORK, "files": texts, "binary_files": binary})
    for path, content in texts.items():
        assert landing(done, path) == content
    assert landing(done, "/opt/app/logo.png").encode(errors="surrogateescape") == picture


@pytest.mark.parametrize(
    ("binary", "said"),
    [
        ({"/opt/app/logo.png": "?"}, r"workload\.binary_files\[\"/opt/app/logo\.png\"\]: '\?' must be bytes in base64"),
        ({"/opt/app/app.py": "eA=="}, "'/opt/app/app.py' is in files too; give it once"),
        ({"/opt/app/app.py/x": "eA=="}, "is below /opt/app/app.py, which is a file too"),
        ({"/etc/haproxy/x": "eA=="}, "must not be in /etc/haproxy"),
    ],
)
def test_a_file_that_cannot_be_is_refused(binary: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        worker(work={**WORK, "files": {"/opt/app/app.py": "x"}, "binary_files": binary})
