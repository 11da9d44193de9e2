"""The unit of a workload: as it reads, what it refuses, and that no value becomes a directive."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress.workload import Unit, render
from tests.unit.facts import refusal_of
from tests.unit.golden import check_golden

APP = Unit(
    name="app",
    command="/usr/bin/python3 /opt/app/app.py",
    port=80,
    environment={
        "FORTRESS_HOST": "oslo-web",
        "FORTRESS_LISTEN": "10.100.0.3:80",
        "GREETING": 'half "price" at 50% for $5 \\o/ ',
    },
    credentials={"database-password": "/etc/fortress/app/database-password"},
)


def unit(**facts: Any) -> Unit:
    return Unit(**{"name": "app", "command": "/bin/true", "port": 80, **facts})


def test_a_workload_with_a_privileged_port() -> None:
    check_golden("workload-app.service", render(APP))


def test_a_workload_without_settings() -> None:
    check_golden(
        "workload-plain.service",
        render(unit(name="plain", command="/opt/tool/serve --title 'a \"b\" ; $HOME %n' '' --port=8080", port=8080)),
    )


# A small reading of units, after systemd.syntax(7) and systemd.service(5), so that what is written can be read back.


def directives(text: str) -> list[tuple[str, str, str]]:
    """Section, key and value of each directive; a line may end in a backslash and go on with the next."""
    found, section = [], ""
    for line in text.replace("\\\n", " ").split("\n"):
        line = line.strip()
        if line.startswith("["):
            section = line
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            found.append((section, key.strip(), value.strip()))
    return found


def words(value: str) -> list[str]:
    """Split a value at blanks outside quotes, and take quotes and backslashes away."""
    found: list[str] = []
    index = 0
    while index < len(value):
        if value[index] == " ":
            index += 1
            continue
        word, quote = "", ""
        while index < len(value) and (quote or value[index] != " "):
            char = value[index]
            if char == "\\":
                index += 1
                escaped = value[index]
                assert escaped in '\\"', f"unknown escape \\{escaped}"
                word += escaped
            elif char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            else:
                word += char
            index += 1
        assert not quote, "a quote is left open"
        found.append(word)
    return found


def specifiers(word: str) -> str:
    """Take %% for %; any other specifier would put in what the host has."""
    assert re.fullmatch(r"([^%]|%%)*", word), f"a specifier in {word!r}"
    return word.replace("%%", "%")


def variables(word: str) -> str:
    """Take $$ for $; any other dollar would put in a variable."""
    assert re.fullmatch(r"([^$]|\$\$)*", word), f"a variable in {word!r}"
    return word.replace("$$", "$")


def values(text: str, key: str) -> list[str]:
    return [value for _, found, value in directives(text) if found == key]


def check_reads_back(workload: Unit) -> None:
    text = render(workload)
    expected = [found[:2] for found in directives(render(APP))]
    more_than_app = {"ExecStart", "Environment", "LoadCredential"}
    assert [found[:2] for found in directives(text) if found[1] not in more_than_app] == [
        found for found in expected if found[1] not in more_than_app
    ]
    (command,) = values(text, "ExecStart")
    assert not re.search(r"(^|\s);(\s|$)", command)  # a bare semicolon would begin another command
    assert [variables(specifiers(word)) for word in words(command)] == workload.arguments
    assignments = [words(value) for value in values(text, "Environment")]
    assert all(len(assignment) == 1 for assignment in assignments)
    assert dict(specifiers(word).split("=", 1) for (word,) in assignments) == dict(workload.environment)
    assert dict(value.split(":") for value in values(text, "LoadCredential")) == dict(workload.credentials)


def test_the_reading_finds_what_a_value_could_add() -> None:
    assert words(r'a "b c" "d\"e" f\\g ' + "'h'") == ["a", "b c", 'd"e', "f\\g", "h"]
    assert directives("[Service]\nA=b\\\nC=d\n# x\nE=f\n") == [("[Service]", "A", "b C=d"), ("[Service]", "E", "f")]
    with pytest.raises(AssertionError, match="a specifier"):
        specifiers("%h")
    with pytest.raises(AssertionError, match="a variable"):
        variables("$HOME")


hostile = st.text(max_size=30) | st.text(alphabet="aB0 ='\"\\%$;#[]\n\r\t\0{}~-", max_size=30)


@given(
    st.lists(hostile, max_size=4),
    st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True) | hostile, hostile, max_size=4),
    hostile,
)
def test_no_value_adds_a_directive(arguments: list[str], environment: dict[str, str], credential: str) -> None:
    command = "/usr/bin/env " + " ".join(arguments)
    for facts in ({"command": command}, {"environment": environment}, {"credentials": {"key": f"/etc/{credential}"}}):
        try:
            workload = unit(**facts)
        except ValueError:
            continue
        check_reads_back(workload)


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=20), max_size=5))
def test_every_printable_value_is_taken_and_reads_back(texts: list[str]) -> None:
    quoted = " ".join("'" + text.replace("'", "'\\''") + "'" for text in texts)
    workload = unit(
        command=f"/usr/bin/env {quoted}",
        environment={f"V{index}": text for index, text in enumerate(texts)},
        credentials={"a.b": "/etc/a-b"},
    )
    assert workload.arguments[1:] == texts
    check_reads_back(workload)


@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ("name", {"name": "app.service"}),
        ("name", {"name": "App"}),
        ("name", {"name": "a\nb"}),
        ("name", {"name": "a" * 33}),
        ("name", {"name": "ssh"}),
        ("name", {"name": "mariadb"}),
        ("name", {"name": "systemd-networkd"}),
        ("command", {"command": ""}),
        ("command", {"command": "python3 app.py"}),
        ("command", {"command": "-/usr/bin/python3"}),
        ("command", {"command": "/usr/bin/../bin/python3"}),
        ("command", {"command": "/bin/true\nUser=root"}),
        ("command", {"command": "/bin/true 'open"}),
        ("port", {"port": 0}),
        ("port", {"port": 65536}),
        ("port", {"port": True}),
        ("environment", {"environment": {"A=B": "c"}}),
        ("environment.A", {"environment": {"A": "b\nUser=root"}}),
        ("environment.A", {"environment": {"A": "b\u2028c"}}),
        ("credentials", {"credentials": {"a:b": "/etc/a"}}),
        ("credentials.a", {"credentials": {"a": "etc/a"}}),
        ("credentials.a", {"credentials": {"a": "/etc/a b"}}),
        ("credentials.a", {"credentials": {"a": "/etc/%h"}}),
    ],
)
def test_a_workload_refuses_and_names_the_field(field: str, facts: dict[str, Any]) -> None:
    (line,) = refusal_of(lambda: unit(**facts))
    assert line.startswith(f"{field}: ")


@pytest.mark.parametrize(("port", "may"), [(80, True), (1023, True), (1024, False), (8080, False)])
def test_only_a_port_below_1024_needs_a_right(port: int, may: bool) -> None:
    text = render(unit(port=port))
    right = "CAP_NET_BIND_SERVICE"
    assert values(text, "AmbientCapabilities") == ([right] if may else [])
    assert values(text, "CapabilityBoundingSet") == [right if may else ""]


@pytest.mark.parametrize("name", ["app", "a" * 32, "a" * 21 + "-b"])
def test_the_account_is_the_units_own(name: str) -> None:
    (user,) = values(render(unit(name=name)), "User")
    assert re.fullmatch(r"workload-[a-z0-9-]{0,21}[a-z0-9]", user)
    assert len(user) <= 31
