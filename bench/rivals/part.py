"""Part `rivals`: one change after another on the same hosts, by the program, by Ansible and by pyinfra."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import content, stand
from bench.figures import Figure, median
from bench.stand import ROOT, Project, run
from lab import api
from lab.base import topology
from lab.host import secure_shell

HERE = Path(__file__).parent
TOOLS = ROOT / ".venv/rivals"
"""The rivals' virtual environment, of bench/requirements.txt."""
EDGE, WORKERS = "oslo-edge", ("oslo-web", "fra-1", "fra-2")
CONFIG = Path("etc/haproxy/haproxy.cfg")
_ANSWER_SECONDS = 60


def install() -> None:
    """Make the rivals' virtual environment, unless it is what bench/requirements.txt says.

    Raises:
        BenchError: it cannot be made.
    """
    wanted = (ROOT / "bench/requirements.txt").read_text()
    mark = TOOLS / "ready"
    if mark.exists() and mark.read_text() == wanted:
        return
    own = ROOT / ".venv/bin"
    for command in (
        [str(own / "python"), "-m", "venv", "--without-pip", str(TOOLS)],
        [
            *(str(own / "uv"), "--no-config", "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode"),
            *("--python", str(TOOLS), "-r", str(ROOT / "bench/requirements.txt")),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise stand.BenchError(f"the rivals cannot be installed: {done.stderr.strip()}")
    mark.write_text(wanted)


@dataclass(frozen=True)
class Content:
    """The exported texts, as the rivals push them."""

    folder: Path

    def one_line(self, number: int) -> None:
        """Another value in one line of haproxy.cfg."""
        file = self.folder / EDGE / CONFIG
        text, found = re.subn(r"(?m)^(    timeout queue) \S+$", rf"\1 {timeout_ms(number)}ms", file.read_text())
        assert found == 1, f"haproxy.cfg has {found} such lines"  # noqa: S101 - a template that this does not know
        file.write_text(text)

    def mtu(self, number: int) -> None:
        """Another MTU on all hosts."""
        file = self.folder / "hosts.json"
        file.write_text(re.sub(r'"mtu": \d+', f'"mtu": {mtu(number)}', file.read_text()))

    def program(self, number: int) -> None:
        """Another program on the workers."""
        for worker in WORKERS:
            _another_program(self.folder / worker / "opt/app/app.py", number)


def timeout_ms(number: int) -> int:
    """The wait in the edge's queue, of a change."""
    return 4000 + number


def mtu(number: int) -> int:
    """The MTU of a change."""
    return 1300 + number


def _another_program(file: Path, number: int) -> None:
    lines = [line for line in file.read_text().splitlines(keepends=True) if not line.startswith("# change ")]
    file.write_text("".join(lines) + f"# change {number}\n")


@dataclass(frozen=True)
class Ansible:
    """The playbook, run as its users run it: connections are kept from one run to the next."""

    content: Content
    folder: Path

    def play(self, *arguments: str) -> float:
        """Run it; gives seconds."""
        return run(
            ["env", "-C", str(HERE / "ansible"), str(TOOLS / "bin/ansible-playbook"), "site.yml", *arguments],
            {
                "CONTENT": str(self.content.folder),
                "ANSIBLE_CONFIG": str(HERE / "ansible/ansible.cfg"),
                "ANSIBLE_HOME": str(self.folder),
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"),
                "ANSIBLE_SSH_EXTRA_ARGS": f"-o UserKnownHostsFile={known_hosts()}",
                "LC_ALL": "C.UTF-8",
            },
        ).seconds


@dataclass(frozen=True)
class Pyinfra:
    """The deploy."""

    content: Content

    def deploy(self, *arguments: str) -> float:
        """Run one of its files; gives seconds."""
        return run(
            ["env", "-C", str(HERE / "pyinfra"), str(TOOLS / "bin/pyinfra"), "-y", "inventory.py", *arguments],
            {"CONTENT": str(self.content.folder), "KNOWN_HOSTS": str(known_hosts())},
        ).seconds


def known_hosts() -> Path:
    """The file with the host keys of the lab, as they are now."""
    lab = api.current()
    file = lab.ssh / "known_hosts"
    file.write_text(secure_shell.known_hosts(lab))
    return file


def until_reloaded(act: Callable[[], float]) -> tuple[float, float]:
    """Seconds until HAProxy had reloaded, by the edge's own journal (all hosts share a clock), and until the end.

    Raises:
        BenchError: it did not reload.
    """
    began = time.time()
    end = act()
    said = stand.on(
        EDGE, f"journalctl --sync; journalctl -u haproxy --since=@{began:.6f} -o short-unix --no-pager | grep Reloaded"
    )
    return float(said.splitlines()[-1].split()[0]) - began, end


def answered() -> None:
    """Wait until the edge answers a client outside.

    Raises:
        BenchError: it does not.
    """
    url = f"https://{topology.HOSTS[EDGE].address}/"
    ended = time.monotonic() + _ANSWER_SECONDS
    while api.in_outside(["curl", "-skf", "-m", "5", "-o", "/dev/null", url]).returncode:
        if time.monotonic() > ended:
            raise stand.BenchError(f"{url} does not answer within {_ANSWER_SECONDS} s")
        time.sleep(0.05)


def bare(act: Callable[[], float]) -> float:
    """Seconds from hosts that just booted to a request that is answered."""
    began = time.monotonic()
    act()
    answered()
    return time.monotonic() - began


Taken = dict[str, list[float]]
"""By tool and change, the seconds of each run."""


def figures(repeat: int) -> Iterator[Figure]:
    """Rounds of fresh hosts for each tool, and the same changes in each."""
    install()
    taken: Taken = {}
    with stand.folder() as folder:
        try:
            for number in range(1, repeat + 1):
                _round(number, folder / str(number), taken)
        finally:
            api.down()
    seconds = {name: median(values) for name, values in taken.items()}
    yield from compared(seconds)


def _round(number: int, folder: Path, taken: Taken) -> None:
    folder.mkdir()

    def note(name: str, value: float) -> None:
        print(f"bench: rivals: round {number}: {name}: {value:.1f} s", file=sys.stderr, flush=True)
        taken.setdefault(name, []).append(value)

    stand.fresh()
    (folder / "project").mkdir()
    project = Project(folder / "project", stand.engine()[0])
    project.pulumi("stack", "init", "--no-select")
    note("ours bare", bare(lambda: project.pulumi(*stand.UP).seconds))
    texts = Content(folder / "content")
    content.export(project.state(), project.settings, texts.folder)
    ours(project, number, note)

    stand.fresh()
    ansible = Ansible(texts, folder / "ansible")
    note("ansible bare", bare(ansible.play))
    of_ansible(ansible, number, note)

    stand.fresh()
    pyinfra = Pyinfra(texts)
    note("pyinfra bare", bare(lambda: pyinfra.deploy("bootstrap.py") + pyinfra.deploy("deploy.py")))
    of_pyinfra(pyinfra, number + 100, note)


def ours(project: Project, number: int, note: Callable[[str, float], None]) -> None:
    """The changes, by the program."""

    def up() -> float:
        return project.pulumi(*stand.UP).seconds

    project.change(lambda settings: settings["edge"].update(timeout_queue_ms=timeout_ms(number)))
    reloaded, end = until_reloaded(up)
    note("ours line", reloaded)
    note("ours line end", end)
    project.change(lambda settings: settings["mesh"].update(mtu=mtu(number)))
    note("ours mtu", up())
    _another_program(project.app, number)
    note("ours program", up())


def of_ansible(ansible: Ansible, number: int, note: Callable[[str, float], None]) -> None:
    """The same by the playbook: with tags, and one line by the whole of it."""
    one_line(ansible, number, note)
    ansible.content.one_line(number + 50)
    note("ansible whole", until_reloaded(ansible.play)[0])
    ansible.content.mtu(number)
    note("ansible mtu", ansible.play("--tags", "wireguard"))
    ansible.content.program(number)
    note("ansible program", ansible.play("--tags", "program"))


def one_line(ansible: Ansible, number: int, note: Callable[[str, float], None]) -> None:
    """One line of haproxy.cfg by the playbook's tag."""
    ansible.content.one_line(number)
    reloaded, end = until_reloaded(lambda: ansible.play("--tags", "haproxy"))
    note("ansible line", reloaded)
    note("ansible line end", end)


def of_pyinfra(pyinfra: Pyinfra, number: int, note: Callable[[str, float], None]) -> None:
    """The same by pyinfra: a file each, and one line by the whole deploy."""
    pyinfra.content.one_line(number)
    reloaded, end = until_reloaded(lambda: pyinfra.deploy("haproxy.py", "--limit", EDGE))
    note("pyinfra line", reloaded)
    note("pyinfra line end", end)
    pyinfra.content.one_line(number + 50)
    note("pyinfra whole", until_reloaded(lambda: pyinfra.deploy("deploy.py"))[0])
    pyinfra.content.mtu(number)
    note("pyinfra mtu", pyinfra.deploy("wireguard.py"))
    pyinfra.content.program(number)
    note("pyinfra program", pyinfra.deploy("program.py"))


def compared(seconds: Mapping[str, float]) -> Iterator[Figure]:
    """The figures of the seconds that each change took."""
    rows: list[tuple[str, str, str, str, float | None]] = [
        ("one line of haproxy.cfg, to the reloaded service", "line", "Ansible, tags", "ansible line", 1.0),
        ("one line of haproxy.cfg, to the reloaded service", "line", "Ansible, whole playbook", "ansible whole", 0.2),
        ("one line of haproxy.cfg, to the reloaded service", "line", "pyinfra, one file", "pyinfra line", None),
        ("one line of haproxy.cfg, to the reloaded service", "line", "pyinfra, whole deploy", "pyinfra whole", 0.6),
        ("the same, to the end of the run", "line end", "Ansible, tags", "ansible line end", None),
        ("the same, to the end of the run", "line end", "pyinfra, one file", "pyinfra line end", None),
        ("MTU on five hosts", "mtu", "Ansible, tags", "ansible mtu", 1.0),
        ("MTU on five hosts", "mtu", "pyinfra, one file", "pyinfra mtu", None),
        ("the program of three workers, one after the other", "program", "Ansible, tags", "ansible program", 1.0),
        ("the program of three workers, one after the other", "program", "pyinfra, one file", "pyinfra program", None),
        ("bare hosts to an answered request", "bare", "Ansible", "ansible bare", 0.4),
        ("bare hosts to an answered request", "bare", "pyinfra", "pyinfra bare", 0.9),
    ]
    for what, own, other, theirs, goal in rows:
        yield Figure(what, seconds[f"ours {own}"], "s", seconds[theirs], other, goal)
