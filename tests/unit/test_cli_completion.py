"""Shell completion: what a shell offers, by the shells' own protocols, and that it is quick and never an error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from fortress.cli import completion
from fortress.settings.model import Settings
from fortress.settings.types import PROJECT
from tests.unit.stack_file import ROOT, lab, oslo

FORTRESS = Path(sys.executable).with_name("fortress")

# Asks as bash does at the Tab key: the words of the line, and which of them the cursor is in.
VERBS = [
    *("audit", "backup", "backups", "drift", "drill", "forget", "preview", "promote", "record", "recover"),
    *("report", "reseed", "restore", "ssh", "status", "switchover", "verify"),
]
_BASH = """
eval "$(_FORTRESS_COMPLETE=source_bash fortress)"
while read -r COMP_CWORD line; do
    eval "COMP_WORDS=($line)"
    COMPREPLY=()
    _fortress_completion fortress
    echo "${COMPREPLY[*]}"
done
"""


TRIES = 10


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PATH": f"{FORTRESS.parent}:/usr/bin:/bin"} | more


def in_bash(folder: Path, *lines: tuple[int, str]) -> list[list[str]]:
    """What a real bash offers for each line; it must not show any error."""
    done = subprocess.run(
        ["bash", "--norc", "-c", _BASH],
        input="".join(f"{cursor} {words}\n" for cursor, words in lines),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    offered = done.stdout.splitlines()
    assert len(offered) == len(lines)
    return [each.split() for each in offered]


def by_protocol(folder: Path, shell: str, line: str) -> str:
    """What a shell is told when it hands over the line up to the cursor, as zsh and fish do."""
    done = subprocess.run(
        [FORTRESS],
        cwd=folder,
        env=environment(
            _FORTRESS_COMPLETE=f"complete_{shell}",
            _TYPER_COMPLETE_ARGS=line,
            _TYPER_COMPLETE_FISH_ACTION="get-args",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_bash_completes_verbs_stacks_and_hosts_of_the_stack_that_is_named() -> None:
    of_lab = list(Settings.model_validate(lab()).members)
    of_oslo = list(Settings.model_validate(oslo()).members)
    assert "fra-1.1" in of_oslo, "a worker that the stack makes has its generation in its name"
    expected = {
        (1, "fortress ''"): VERBS,
        (1, "fortress st"): ["status"],
        (3, "fortress verify --stack ''"): ["lab", "oslo"],
        (3, "fortress verify -s l"): ["lab"],
        (4, "fortress verify --stack = l"): ["lab"],  # bash breaks words at `=`
        (3, "fortress verify --stack ="): ["lab", "oslo"],
        (4, "fortress ssh -s lab ''"): of_lab,
        (4, "fortress ssh --stack oslo f"): [name for name in of_oslo if name.startswith("f")],
        (5, "fortress ssh --stack = oslo ''"): of_oslo,
        (4, "fortress forget --stack organization/data-fortress/lab ''"): of_lab,
        (2, "fortress ssh '' --stack oslo"): of_oslo,
        (2, "fortress ssh oslo-d --stack = lab"): ["oslo-db"],
        (3, "fortress ssh -s l oslo-db"): ["lab"],
        (5, "fortress ssh --key '' -s o"): ["oslo"],
        (2, "fortress ssh ''"): [*of_lab, *of_oslo],
        (4, "fortress ssh -s nope ''"): [],
        (4, "fortress ssh -s \"a'b\" ''"): [],
        (2, "fortress --version ''"): VERBS,
        (3, "fortress preview --forge g"): ["github", "gitlab"],
    }
    wanted = {line: sorted(set(names)) for line, names in expected.items()}
    for _ in range(TRIES):
        found = in_bash(ROOT / "docs", *expected)  # a folder inside the project
        shown = dict(zip(expected, map(sorted, found), strict=True))
        # On a machine that is busy it gives up, as it should: then nothing is offered, and never anything else.
        assert all(names in ([], wanted[line]) for line, names in shown.items())
        if shown == wanted:
            break
    assert shown == wanted


def test_zsh_and_fish_by_their_protocols() -> None:
    assert by_protocol(ROOT, "zsh", "fortress ssh --stack lab oslo-d") == "_arguments '*: :((\"oslo-db\"))'\n"
    assert by_protocol(ROOT, "zsh", "fortress verify --stack=o") == "_arguments '*: :((\"oslo\"))'\n"
    assert by_protocol(ROOT, "zsh", "fortress ssh -s nope ") == "_files\n"
    assert by_protocol(ROOT, "fish", "fortress forget -s lab fra-").split() == ["fra-1", "fra-2"]
    assert "status\tShow one health line per host.\n" in by_protocol(ROOT, "fish", "fortress ")


def test_a_project_that_is_none_offers_nothing_and_says_nothing(tmp_path: Path) -> None:
    assert in_bash(tmp_path, (3, "fortress verify -s ''"), (2, "fortress ssh ''")) == [[], []]
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    (tmp_path / "Pulumi.broken.yaml").write_text("config: {data-fortress:hosts: [\n")
    (tmp_path / "Pulumi.bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "Pulumi.list.yaml").write_text("[]\n")
    (tmp_path / "Pulumi.other.yaml").write_text("config: {aws:region: eu-central-1}\n")
    (tmp_path / "Pulumi.null.yaml").write_text("config: {data-fortress:hosts: {a: null}}\n")
    (tmp_path / "Pulumi.folder.yaml").mkdir()
    os.mkfifo(tmp_path / "Pulumi.pipe.yaml")  # opened, it would wait for a writer
    names = ["broken", "bytes", "list", "null", "other"]
    lines = [(4, f"fortress ssh -s {name} ''") for name in names]
    stacks, all_hosts, *hosts = in_bash(tmp_path, (3, "fortress verify -s ''"), (2, "fortress ssh ''"), *lines)
    assert sorted(stacks) == names
    assert all_hosts == []
    assert dict(zip(names, hosts, strict=True)) == {"null": ["a"]} | {name: [] for name in names if name != "null"}


def test_a_disk_that_does_not_answer_is_given_up_without_a_word() -> None:
    program = (
        "import time\nfrom fortress.cli import completion\n"
        "completion._stack_files = lambda: time.sleep(60)\nprint(completion.stacks(''))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGALRM, b"", b"")


def test_it_loads_little() -> None:
    """What makes it quick: neither the engine's SDK, SSH, the settings nor tables; typer brings pydantic itself."""
    asked = environment(
        PYTHONPROFILEIMPORTTIME="1", _FORTRESS_COMPLETE="complete_bash", COMP_WORDS="fortress\nssh\n", COMP_CWORD="2"
    )
    done = subprocess.run([FORTRESS], cwd=ROOT, env=asked, capture_output=True, text=True, timeout=60, check=False)
    assert "oslo-db" in done.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "yaml" in loaded
    assert not loaded & {"pulumi", "paramiko", "cryptography", "jinja2", "rich"}


def test_the_setting_is_the_one_of_the_models() -> None:
    assert f"{PROJECT}:hosts" == completion.HOSTS
    assert "hosts" in Settings.model_fields


def test_bash_has_it_once_it_is_installed(tmp_path: Path) -> None:
    home = environment(HOME=str(tmp_path))
    script = "fortress --install-completion; echo $?"
    done = subprocess.run(["bash", "-c", script], env=home, capture_output=True, text=True, timeout=60, check=False)
    assert "bash completion installed" in done.stdout
    assert done.stdout.endswith("\n0\n")
    shell = ["bash", "--rcfile", str(tmp_path / ".bashrc"), "-ic", "complete -p fortress"]
    known = subprocess.run(shell, env=home, capture_output=True, text=True, timeout=60, check=False)
    assert known.stdout == "complete -o default -F _fortress_completion fortress\n"
