"""The preview of a first `up`, made where no host can be reached: all that will stand is in it, as it will stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fortress import push
from tests.lab.fortress import ROOT, Fortress
from tests.lab.inside import each

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes in JSON for a value that is not known yet (pulumi: plugin.UnknownStringValue)."""
WORKERS = ("oslo-web", "fra-1", "fra-2")
HUBS = ("oslo-db", "oslo-edge")


@pytest.fixture(scope="module")
def preview(fortress: Fortress, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `pulumi preview --json` says of a new stack, in a network namespace that holds nothing."""
    project = Fortress(fortress.lab, tmp_path_factory.mktemp("new")).project
    backend = tmp_path_factory.mktemp("backend")
    plugin = subprocess.run([str(ROOT / "lab/plugin.sh")], capture_output=True, text=True, check=True).stdout.strip()
    given = {
        "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
        "HOME": os.environ["HOME"],
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "lab",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        **({"PULUMI_HOME": plugin, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"} if plugin else {}),
    }
    script = "ip link set lo up && pulumi stack init lab --no-select >&2 && exec pulumi preview --stack lab --json"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        cwd=project,
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def inputs(preview: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and inputs of each command that will run."""
    for step in preview["steps"]:
        _, _, kind, name = step["urn"].split("::")
        if kind.endswith(":Command"):
            yield name, step["newState"]["inputs"]


def strings(value: Any) -> Iterator[str]:
    """Every text in a structure."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each_value in value.values():
            yield from strings(each_value)
    elif isinstance(value, list):
        for each_value in value:
            yield from strings(each_value)


def test_it_names_all_that_will_be(preview: dict[str, Any]) -> None:
    own = ["host-key", "push", "wg0.conf", "key"]
    work = ["credentials", "files", "healthy"]
    data = ["prepared", "authority", "90-fortress.cnf", "account", "passwords-ended"]
    expected = [
        "hosts-answer",
        *(f"{host}-{part}" for host in (*WORKERS, *HUBS) for part in own),
        *(f"mesh-{host}-files" for host in (*WORKERS, *HUBS)),
        *(f"mesh-{hub}-peer-{worker}" for worker in WORKERS for hub in HUBS),
        *(f"app-{worker}-{part}" for worker in WORKERS for part in work),
        *(f"db-{part}" for part in data),
        *(f"edge-{part}" for part in ("certificate", "files", "drained")),
    ]
    assert sorted(name for name, _ in inputs(preview)) == sorted(expected)
    components = ["Stack", *["Host"] * 5, "WireGuardMesh", "DataFortress"]
    components += [*["EphemeralWorker"] * 3, "PasswordRotation", "HAProxyEdge"]
    assert sorted(
        step["urn"].split("::")[2].rpartition(":")[2]
        for step in preview["steps"]
        if not step["urn"].split("::")[2].endswith(":Command")
    ) == sorted(components)
    assert preview["changeSummary"] == {"create": len(expected) + len(components)}


def test_what_cannot_be_known_is_unknown_and_nothing_else_is(preview: dict[str, Any]) -> None:
    unknown = {name for name, given in inputs(preview) if given.get("stdin") == UNKNOWN}
    assert unknown == {
        *(f"mesh-{worker}-files" for worker in WORKERS),  # with the hubs' keys
        *(f"mesh-{hub}-peer-{worker}" for worker in WORKERS for hub in HUBS),
        *(f"app-{worker}-healthy" for worker in WORKERS),  # asked after each put has said that it ran
        "db-passwords-ended",
        "edge-drained",
    }
    assert all(given["create"] != UNKNOWN and given.get("delete") != UNKNOWN for _, given in inputs(preview))
    for name, given in inputs(preview):
        for text in strings(given):
            assert UNKNOWN not in text or text == UNKNOWN, f"{name}: {text}"
        parts = push.parts(given["create"], given.get("stdin"))
        # But for programs, which are sent as they are.
        sent = [text for does, text in parts if text and not any(path.endswith(".py") for path in push.paths(does))]
        for text in strings([{**given, "stdin": None}, sent]):
            if not text.startswith(("#!/bin/sh", "#!/usr/bin/python3")):
                assert not re.search(r"Output<|<pulumi|object at 0x|__str__|\bNone\b|Key = *$", text, re.M), text


def test_each_file_is_shown_as_it_stands_in_the_end(preview: dict[str, Any]) -> None:
    """Compared with the fortress that the same settings brought up: the same files on each host, with the same text."""
    shown: dict[str, dict[str, str]] = {}
    for _, given in inputs(preview):
        for command, text in push.parts(given["create"], given.get("stdin")):
            host, _, incarnation = command.machine.rpartition(".")
            for path in push.paths(command):
                assert (given["create"][:5], incarnation) == ("sudo ", "1")
                hidden = text in (UNKNOWN, "[secret]")
                shown.setdefault(host, {})[path] = str(text) if hidden else push.received(str(text))
    script = """
    import json, pathlib
    paths = [record.read_text().rstrip() for record in pathlib.Path("/var/lib/fortress/files").glob("*/path")]
    print(json.dumps({path: pathlib.Path(path).read_text() for path in paths}))
    """.replace("\n    ", "\n")
    standing = {host: json.loads(said) for host, said in each("python3 -", script).items()}
    assert {host: sorted(files) for host, files in shown.items()} == {
        host: sorted(files) for host, files in standing.items()
    }
    for host, files in shown.items():
        for path, text in files.items():
            if text not in (UNKNOWN, "[secret]"):
                assert text == standing[host][path], f"{host}: {path}"
    unseen = {path for files in shown.values() for path, text in files.items() if text == "[secret]"}
    assert unseen == {"/etc/fortress/app/database-password", "/etc/fortress/app/database-ca.pem"}
