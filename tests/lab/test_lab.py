"""The lab itself: what the other tests in this folder stand on."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from lab import api
from lab.base import cgroups, folders, processes, topology
from lab.base.folders import RELEASES
from lab.host import hosts, secure_shell
from lab.image import images, sources
from lab.net import network
from tests.lab.conftest import NAME, StandingLab

pytestmark = pytest.mark.usefixtures("plain")

RELEASE = RELEASES[0]
CONNECT = "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print(s.recv(4))"


def on(host: str, command: str, text: str | None = None, timeout: float = 60) -> str:
    """What a command on a host prints; it must succeed."""
    done = api.ssh(host, command, text, timeout)
    assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def pings(host: str, address: object, count: int = 10, interval: float = 0.1) -> tuple[float, float]:
    """Loss in percent and shortest round trip in ms (NaN when none came back) from a host to an address."""
    said = api.ssh(host, f"ping -q -c {count} -i {interval} -W 1 {address}").stdout
    lost = re.search(r"([\d.]+)% packet loss", said)
    shortest = re.search(r"= ([\d.]+)/", said)
    assert lost, said
    return float(lost[1]), float(shortest[1]) if shortest else float("nan")


def test_what_a_build_left_mounted_is_unmounted_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machines = tmp_path / "machine"
    machines.mkdir()
    (machines / "its own").touch()

    def mounted(folder: Path) -> None:
        inside = folder / "with a space" / "proc"
        inside.mkdir(parents=True)
        subprocess.run(["mount", "--bind", machines, inside], check=True)

    mounted(folders.cache() / "making-thing-left")  # by a run that was killed

    def make(result: Path, scratch: Path) -> None:
        mounted(scratch)
        mounted(result)

    made = images.make_once(folders.cache() / "thing-1", make)
    assert [path.name for path in machines.iterdir()] == ["its own"]
    assert [path.name for path in (made / "with a space").iterdir()] == ["proc"]
    assert list((made / "with a space/proc").iterdir()) == []
    assert list(folders.cache().glob("making-*")) == []


def unreachable(host: str) -> bool:
    """Whether SSH gets no connection to a host within two seconds."""
    words = secure_shell.command(api.current(), topology.HOSTS[host], "true", connect_seconds=2)
    return subprocess.run(words, capture_output=True, timeout=30, check=False).returncode == 255


def lab_command(*arguments: str, name: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m lab`, on another lab when one is named."""
    environment = {**os.environ, **({"FORTRESS_LAB": name} if name else {})}
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=180,
        check=False,
    )


@pytest.fixture
def usual_link() -> Iterator[None]:
    """Sets the link back to the lab's usual when the test is over."""
    yield
    api.link(rtt_ms=22, loss=0, rate_mbit=0, cut=False)


def test_hosts_answer_ssh_in_ten_seconds(plain: StandingLab) -> None:
    for name in topology.STANDARD:
        assert on(name, "hostname; id -un; sudo id -un").split() == [name, "ops", "root"]
    assert plain.seconds < 10


def test_hosts_are_plain_debian() -> None:
    programs = 'for p in nft wg haproxy mariadbd curl; do sudo sh -c "command -v $p"; done; true'
    for name in ("oslo-web", "fra-2"):
        assert on(name, "systemctl --failed --plain --no-legend") == ""
        assert on(name, f"[ -e /etc/nftables.conf ] || {{ {programs}; }}") == ""
        assert on(name, "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null || true") == (
            "deb [trusted=yes] http://192.0.2.1/ ./"
        )


def test_nothing_of_the_machine_is_in_the_base_system() -> None:
    mirrors = {re.sub(r"^\w+://([^/]+)/.*$", r"\1", source.uri) for source in sources.configured()}
    assert mirrors
    for folder in ("etc", "var/lib/apt", "var/log"):
        for path in (images.base(RELEASE) / folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and path.suffix not in (".gpg", ".asc"):
                content = path.read_bytes()
                assert not [mirror for mirror in mirrors if mirror.encode() in content], path
    assert not list((images.base(RELEASE) / "etc/ssh").glob("ssh_host_*"))
    assert (images.base(RELEASE) / "etc/machine-id").read_text() == ""


def test_hosts_differ_in_what_must_differ() -> None:
    assert len({on(name, "cat /etc/machine-id") for name in topology.STANDARD}) == len(topology.STANDARD)
    assert len({state.host_key for state in api.hosts().values()}) == len(api.hosts())


def test_sites_are_22_ms_apart() -> None:
    loss, shortest = pings("oslo-db", topology.HOSTS["fra-1"].address)
    assert loss == 0
    assert 22 <= shortest < 24
    loss, shortest = pings("oslo-db", topology.HOSTS["oslo-web"].address)
    assert loss == 0
    assert shortest < 2


def test_there_is_no_way_out() -> None:
    """A server on the machine cannot be reached at any of its addresses, and nothing is routed further."""
    listed = json.loads(subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True, text=True, check=True).stdout)
    own = [address["local"] for device in listed for address in device["addr_info"] if address["scope"] == "global"]
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            with suppress(OSError):  # the server is closed
                while True:
                    server.accept()[0].sendall(b"here")

        Thread(target=answer, daemon=True).start()
        assert socket.create_connection(("127.0.0.1", port), 3).recv(4) == b"here"
        for name in ("oslo-db", "fra-1"):
            for address in own:
                reached = api.ssh(name, f"timeout 5 python3 - {address} {port}", CONNECT)
                assert "here" not in reached.stdout
                assert reached.returncode != 0
        for address in own:
            for place in (api.in_operator, api.in_outside):
                assert place([sys.executable, "-c", CONNECT, address, str(port)]).returncode != 0
    assert "Net Unreachable" in api.ssh("oslo-db", "ping -c1 -W1 1.1.1.1").stdout
    for namespace in topology.NAMESPACES:
        devices = {device["ifname"] for device in json.loads(_in(namespace, "ip", "-j", "link"))}
        assert devices <= {
            *("lo", "br0", "wan", "eth0", "operator", "outside", "oslo", "frankfurt"),
            *(host.interface for host in topology.HOSTS.values()),
            *("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"),
        }


def _in(namespace: str, *command: str) -> str:
    words = [*network.enter(api.current(), namespace), *command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_the_client_outside_reaches_hosts_and_has_no_rights(plain: StandingLab) -> None:
    for name in topology.STANDARD:
        address = str(topology.HOSTS[name].address)
        assert "SSH-" in api.in_outside([sys.executable, "-c", CONNECT, address, "22"]).stdout
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={plain.lab.ssh}/known_hosts"]
    refused = api.in_outside(["ssh", *options, "-o", "IdentityFile=none", "ops@192.0.2.11", "true"])
    assert "Permission denied" in refused.stderr
    assert on("oslo-web", f"ping -q -c1 -W1 {topology.OUTSIDE} >/dev/null; echo $?") == "0"
    assert on("fra-1", f"ping -q -c1 -W1 {topology.OUTSIDE} >/dev/null; echo $?") == "0"


def test_root_cannot_log_in(plain: StandingLab) -> None:
    key = plain.lab.key.with_suffix(".pub").read_text()
    put = "mkdir -p /root/.ssh && cat >/root/.ssh/authorized_keys && chmod -R go= /root/.ssh"
    assert api.console("oslo-web", put, key).returncode == 0
    try:
        words = secure_shell.command(plain.lab, topology.HOSTS["oslo-web"], "true")
        as_root = [word.replace("ops@", "root@") for word in words]
        refused = subprocess.run(as_root, capture_output=True, text=True, timeout=30, check=False)
        assert refused.returncode == 255
        assert "Permission denied" in refused.stderr
    finally:
        api.console("oslo-web", "rm -r /root/.ssh")


def test_another_host_key_is_refused(plain: StandingLab) -> None:
    """The key that ssh expects is the one on the host's disk; sshd goes on with the one it has read."""
    public = "/etc/ssh/ssh_host_ed25519_key.pub"
    before = on("oslo-web", f"cat {public}")
    other = topology.HOSTS["oslo-edge"]
    try:
        assert api.console("oslo-web", f"cat >{public}", f"{hosts.host_key(plain.lab, other)}\n").returncode == 0
        refused = api.ssh("oslo-web", "true")
        assert refused.returncode == 255
        assert "HOST IDENTIFICATION HAS CHANGED" in refused.stderr.upper() or "verification failed" in refused.stderr
    finally:
        api.console("oslo-web", f"cat >{public}", f"{before}\n")
    assert on("oslo-web", "echo in") == "in"


def test_up_again_changes_nothing(plain: StandingLab) -> None:
    before = {path.name: path.read_text() for path in plain.lab.run.glob("*.pid")}
    assert len(before) >= len(topology.NAMESPACES) + len(topology.STANDARD) + 2
    boots = {name: on(name, "cut -d ' ' -f 22 /proc/1/stat") for name in topology.STANDARD}
    began = time.monotonic()
    done = lab_command("up")
    assert done.returncode == 0, done.stderr
    assert "it was complete already" in done.stderr
    assert time.monotonic() - began < 15
    assert {path.name: path.read_text() for path in plain.lab.run.glob("*.pid")} == before
    assert {name: on(name, "cut -d ' ' -f 22 /proc/1/stat") for name in topology.STANDARD} == boots


def test_a_lab_keeps_its_release(plain: StandingLab) -> None:
    assert plain.lab.release == RELEASE
    assert on("oslo-web", ". /etc/os-release; echo $VERSION_CODENAME") == RELEASE
    for release, said in (
        ("bookworm", f"the hosts of lab '{NAME}plain' run {RELEASE}, not bookworm\nfix: take it down first"),
        ("slink", f"no host can run 'slink'\nfix: name one of {', '.join(RELEASES)}"),
    ):
        refused = lab_command("up", "--release", release)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
    assert plain.lab.release == RELEASE


def test_up_starts_again_what_died(plain: StandingLab) -> None:
    """Agent, package repository and link are found missing and started; hosts stay up."""
    before = {state.name: state.pid for state in api.hosts().values()}
    for part in ("agent", "repository", "link"):
        cgroups.kill(cgroups.of(plain.lab, part))
    found = api.status()
    assert not found.ok
    assert (found.parts["agent"], found.parts["repository"]) == (False, False)
    assert api.up() == []
    assert api.status().ok
    assert {state.name: state.pid for state in api.hosts().values()} == before
    assert "ED25519" in api.in_operator(["ssh-add", "-l"]).stdout
    assert on("fra-1", "sudo apt-get -q update >/dev/null 2>&1; echo $?") == "0"


def test_a_killed_host_keeps_its_disk(plain: StandingLab) -> None:
    on("fra-2", "echo kept | sudo tee /var/lib/kept && sync")
    key = api.hosts()["fra-2"].host_key
    api.kill("fra-2")
    assert not api.hosts()["fra-2"].running
    assert not cgroups.populated(cgroups.of(plain.lab, "host-fra-2"))
    assert unreachable("fra-2")
    assert not api.status().ok
    with pytest.raises(api.NotStandingError, match="fra-2 is off"):
        api.console("fra-2", "true")
    assert api.start("fra-2")
    assert not api.start("fra-2")
    assert on("fra-2", "cat /var/lib/kept") == "kept"
    assert api.hosts()["fra-2"].host_key == key
    on("fra-2", "sudo rm /var/lib/kept")


def test_a_killed_host_is_silent_at_once(plain: StandingLab) -> None:
    """Also when it was in the middle of a connection, whose end its kernel would still want to be told."""
    talk = "exec 3<>/dev/tcp/203.0.113.21/22 && echo open && sleep 60"
    words = [*hosts.console(plain.lab, topology.HOSTS["fra-2"]), "bash", "-c", talk]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as talking:
        assert talking.stdout
        assert talking.stdout.readline() == "open\n"
        api.kill("fra-1")
        api.kill("fra-2")
    loss, _ = pings("oslo-db", topology.HOSTS["fra-2"].address, count=3)
    assert loss == 100
    assert api.start("fra-1")
    assert api.start("fra-2")


def test_a_host_reboots(plain: StandingLab) -> None:
    host = topology.HOSTS["oslo-web"]
    supervisor, first = hosts.supervisor(plain.lab, host), hosts.init(plain.lab, host)
    api.ssh("oslo-web", "sudo systemctl reboot")
    assert processes.wait(first, 20)
    secure_shell.wait(plain.lab, host, 30)
    assert hosts.supervisor(plain.lab, host) == supervisor
    assert hosts.init(plain.lab, host) != first


def test_an_address_that_is_taken_is_found() -> None:
    device = on("fra-1", "ip -o -4 addr show scope global").split()[1]
    on("fra-1", f"sudo ip addr add {topology.HOSTS['fra-3'].address}/32 dev {device}")
    try:
        with pytest.raises(api.LabError, match=r"203\.0\.113\.23 is in use"):
            api.start("fra-3")
    finally:
        on("fra-1", f"sudo ip addr del {topology.HOSTS['fra-3'].address}/32 dev {device}")
    assert "fra-3" not in api.hosts()


@pytest.mark.usefixtures("usual_link")
def test_cut_drops_everything_and_heal_restores() -> None:
    far = topology.HOSTS["fra-1"].address
    api.cut()
    try:
        assert pings("oslo-db", far, count=3)[0] == 100
        assert unreachable("fra-1")
        assert "100% packet loss" in api.console("fra-1", "ping -q -c2 -i.1 -W1 192.0.2.11").stdout
        assert pings("oslo-db", topology.HOSTS["oslo-web"].address)[0] == 0
    finally:
        api.heal()
    assert pings("oslo-db", far)[0] == 0
    assert on("fra-1", "echo back") == "back"


@pytest.mark.usefixtures("usual_link")
def test_the_link_changes_under_a_standing_connection(plain: StandingLab) -> None:
    far = topology.HOSTS["fra-1"]
    words = secure_shell.command(plain.lab, far, "while read line; do echo $line; done")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as session:
        assert session.stdin
        assert session.stdout
        for round_trip in (60.0, 5.0, 22.0):
            api.link(rtt_ms=round_trip)
            assert round_trip <= pings("oslo-db", far.address, count=5)[1] < round_trip + 3
            session.stdin.write(f"{round_trip}\n")
            assert session.stdout.readline() == f"{round_trip}\n"
        api.cut()
        session.stdin.write("through\n")
        time.sleep(0.5)
        api.heal()
        assert session.stdout.readline() == "through\n"  # TCP sends again what the cut has dropped
        session.stdin.close()
        assert session.wait(10) == 0


@pytest.mark.usefixtures("usual_link")
def test_loss_is_what_was_asked_for() -> None:
    """A fifth each way is 36 % of the round trips; of 250 that is within 22 and 50 but once in a million runs."""
    api.link(loss=20)
    lost, _ = pings("oslo-db", topology.HOSTS["fra-2"].address, count=250, interval=0.01)
    assert 22 < lost < 50


@pytest.mark.usefixtures("usual_link")
def test_rate_is_what_was_asked_for(plain: StandingLab) -> None:
    api.link(rate_mbit=8)
    began = time.monotonic()
    done = subprocess.run(
        secure_shell.command(plain.lab, topology.HOSTS["fra-1"], "head -c 2000000 /dev/urandom"),
        capture_output=True,
        timeout=60,
        check=True,
    )
    seconds = time.monotonic() - began
    assert len(done.stdout) == 2_000_000
    assert 2 <= seconds < 4  # 16 Mbit


def test_link_settings_that_make_no_sense_are_refused() -> None:
    before = api.link_settings()
    for rtt_ms, loss, rate_mbit in ((-1, 0, 0), (22, 101, 0), (22, 0, 0.001)):
        with pytest.raises(api.LabError, match="out of range"):
            api.link(rtt_ms, loss, rate_mbit)
    assert api.link_settings() == before


def test_the_link_carries_300_mbit(plain: StandingLab) -> None:
    server = "import socket; s = socket.create_server(('', 5999)); c, _ = s.accept(); n = 0\n"
    server += "while d := c.recv(1 << 20): n += len(d)\nprint(n)"
    client = (
        "import socket, time; s = socket.create_connection(('192.0.2.11', 5999)); d = bytes(1 << 20); n = 0\n"
        "end = time.monotonic() + 4\nwhile time.monotonic() < end: s.sendall(d)"
    )
    words = secure_shell.command(plain.lab, topology.HOSTS["oslo-db"], f'python3 -c "{server}"')
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as receiver:
        processes.until("the receiver", 60, lambda: ":5999" in api.ssh("oslo-db", "ss -Hltn").stdout, every=0.2)
        began = time.monotonic()
        on("fra-1", f'python3 -c "{client}"')
        received = int(receiver.communicate(timeout=20)[0])
    assert received * 8 / (time.monotonic() - began) > 300e6


def test_console_works_without_ssh(plain: StandingLab) -> None:
    try:
        assert api.console("oslo-edge", "systemctl stop ssh && ip link set host0 down").returncode == 0
        assert unreachable("oslo-edge")
        done = api.console("oslo-edge", "cat; hostname; exit 3", "typed\n")
        assert (done.stdout, done.returncode) == ("typed\noslo-edge\n", 3)
    finally:
        api.console("oslo-edge", "ip link set host0 up && networkctl reconfigure host0; systemctl start ssh")
    secure_shell.wait(plain.lab, topology.HOSTS["oslo-edge"], 20)


def install_from_the_lab() -> None:
    """Installs at both sites what every host of a fortress needs."""
    for name in ("oslo-edge", "fra-2"):
        install = "sudo apt-get -q update && sudo DEBIAN_FRONTEND=noninteractive apt-get -qy install "
        on(name, f"{install} --no-install-recommends nftables wireguard-tools wireguard-go 2>&1", timeout=120)


def test_packages_come_from_the_lab_and_nftables_filters() -> None:
    install_from_the_lab()
    rule = f"ip saddr {topology.OUTSIDE} tcp dport 22 reject"
    rules = f"table inet trial {{ chain input {{ type filter hook input priority 0; {rule}; }}; }}"
    knock = [sys.executable, "-c", CONNECT, str(topology.HOSTS["fra-2"].address), "22"]
    assert "SSH-" in api.in_outside(knock).stdout
    on("fra-2", "sudo nft -f -", rules)
    try:
        assert "refused" in api.in_outside(knock).stderr
        assert on("fra-2", "echo in") == "in"
    finally:
        on("fra-2", "sudo nft delete table inet trial")
    assert "SSH-" in api.in_outside(knock).stdout


def test_the_repository_holds_all_that_it_offers() -> None:
    names = " ".join(images.OFFERED_PACKAGES)
    simulated = "sudo apt-get -q update >/dev/null 2>&1; apt-get -s --no-install-recommends install"
    assert "Inst mariadb-server " in on("fra-1", f"{simulated} {names} 2>&1")


def test_wireguard_comes_up() -> None:
    """Whichever it is here: the kernel's, or the stand-in that wg-quick takes by itself."""
    install_from_the_lab()
    conf = "[Interface]\nAddress = 10.99.0.1/24\nMTU = 1360\nPrivateKey = $(wg genkey)\n"
    up = f"sudo sh -c 'umask 077; printf \"{conf}\" >/etc/wireguard/trial.conf; systemctl start wg-quick@trial'"
    try:
        on("fra-2", up)
        assert "mtu 1360" in on("fra-2", "ip link show trial")
        assert "listening port" in on("fra-2", "sudo wg show trial")
    finally:
        on("fra-2", "sudo systemctl stop wg-quick@trial; sudo rm -f /etc/wireguard/trial.conf")


def test_units_are_sandboxed_as_on_a_real_host() -> None:
    properties = (
        "DynamicUser=yes LoadCredential=name:/etc/hostname ProtectSystem=strict PrivateDevices=yes PrivateUsers=yes "
        "MemoryDenyWriteExecute=yes SystemCallFilter=@system-service CapabilityBoundingSet= StateDirectory=trial"
    )
    unit = "sudo systemd-run --quiet --wait --pipe " + " ".join(f"-p {p}" for p in properties.split())
    inside = "cat $CREDENTIALS_DIRECTORY/name; touch /etc/x 2>/dev/null || echo kept out; touch $STATE_DIRECTORY/y"
    assert on("oslo-edge", f"{unit} sh -c '{inside}'").split("\n") == ["oslo-edge", "kept out"]
    denied = "sudo systemd-run --quiet --wait --pipe -p IPAddressDeny=any ping -q -c1 -W1 192.0.2.1"
    assert "100% packet loss" in api.ssh("oslo-edge", denied).stdout
    on("oslo-edge", "sudo systemctl reset-failed; sudo rm -rf /var/lib/private/trial /var/lib/trial")


def test_run_goes_on_as_the_command(tmp_path: Path) -> None:
    script = "pwd; echo $FORTRESS_LAB $MARK; ssh-add -l >/dev/null && ip -br -4 addr show eth0; exit 7"
    done = subprocess.run(
        [sys.executable, "-m", "lab", "run", "--", "sh", "-c", f"cd {tmp_path}; {script}"],
        capture_output=True,
        text=True,
        env={**os.environ, "MARK": "kept"},
        timeout=30,
        check=False,
    )
    assert done.returncode == 7
    folder, mark, address = done.stdout.strip().split("\n")
    assert (folder, mark) == (str(tmp_path), f"{NAME}plain kept")
    assert str(topology.OPERATOR) in address
    assert lab_command("run", "--", "pwd").stdout.strip() == str(Path.cwd())
    assert lab_command("ssh", "oslo-web", "--", "exit 5").returncode == 5
    assert lab_command("ssh", "oslo-web", "--", "echo", "a  b", "$HOME").stdout == "a  b $HOME\n"
    assert lab_command("console", "oslo-web", "--", "sh", "-c", "exit 6").returncode == 6
    assert lab_command("outside", "--", "sh", "-c", "exit 8").returncode == 8
    assert lab_command("run", "--", "no-such-program").returncode in (125, 127)


@pytest.mark.usefixtures("plain")
def test_env_is_what_a_shell_reads() -> None:
    said = lab_command("env").stdout
    script = f"{said}\nssh-add -l; echo $PULUMI_CONFIG_PASSPHRASE; echo $PULUMI_BACKEND_URL $FORTRESS_LAB"
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, env=clean, check=True)
    assert "ED25519" in done.stdout
    assert done.stdout.split("\n")[1:3] == [
        "lab",
        f"file:///var/lib/data-fortress/{NAME}plain/state {NAME}plain",
    ]


def test_status_speaks_to_programs() -> None:
    done = lab_command("status", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["ok"] is True
    assert found["link"]["kind"] in ("netem", "delay line")
    assert found["wireguard"] in ("kernel", "wireguard-go")
    assert found["hosts"]["fra-1"]["address"] == "203.0.113.21"
    assert set(topology.STANDARD) <= set(found["hosts"])
    for name in topology.STANDARD:
        assert name in lab_command("status").stdout


def test_down_leaves_nothing() -> None:
    """A lab beside this one, of two hosts with the same names and addresses, comes and goes."""
    name = f"{NAME}plain2"
    own = {state.name: state.pid for state in api.hosts().values()}
    up = lab_command("up", "--hosts", "oslo-web,fra-1", name=name)
    assert up.returncode == 0, up.stderr
    other = folders.Lab(name)
    pids = [int(path.read_text().split()[0]) for path in other.run.glob("*.pid")]
    spaces = {f"/proc/{pid}/ns/net" for pid in pids}
    inodes = {str(Path(space).readlink()) for space in spaces} - {str(Path("/proc/self/ns/net").readlink())}
    group = cgroups.of_lab(other)
    everyone = cgroups.members(group)
    assert len(inodes) == len(topology.NAMESPACES)
    assert len(everyone) > 20
    hostname = lab_command("ssh", "fra-1", "--", "hostname", name=name)
    assert hostname.stdout.strip() == "fra-1", hostname.stderr
    down = lab_command("down", name=name)
    assert down.returncode == 0, down.stderr
    assert not other.folder.exists()
    assert not group.exists()
    for pid in everyone:
        assert processes.look(pid) is None
    for process in Path("/proc").glob("[0-9]*"):
        try:
            space, mounts = str((process / "ns/net").readlink()), (process / "mountinfo").read_text()
        except OSError:
            continue
        assert space not in inodes, process
        assert str(other.folder) not in mounts, process
    assert (images.base(RELEASE)).is_dir()
    again = lab_command("down", name=name)
    assert again.returncode == 0, again.stderr
    assert lab_command("run", "--", "true", name=name).returncode == 125
    assert {state.name: state.pid for state in api.hosts().values()} == own


def test_down_takes_away_what_lost_its_folder() -> None:
    """A lab whose folder somebody deleted while it stood: `up` says so, and `down` is the cure."""
    name = f"{NAME}plain3"
    other = folders.Lab(name)
    assert lab_command("up", "--hosts", "oslo-web", name=name).returncode == 0
    subprocess.run(["rm", "-rf", str(other.folder)], check=True)
    refused = lab_command("up", name=name)
    assert refused.returncode == 1
    assert f"FORTRESS_LAB={name} python -m lab down" in refused.stderr
    assert lab_command("down", name=name).returncode == 0
    assert not cgroups.of_lab(other).exists()


def test_a_folder_of_somebody_else_is_left_alone() -> None:
    other = folders.Lab(f"{NAME}plain4")
    other.folder.mkdir()
    (other.folder / "precious").write_text("x")
    try:
        for verb in ("up", "down"):
            refused = lab_command(verb, name=other.name)
            assert refused.returncode == 1
            assert "holds no lab" in refused.stderr
        assert (other.folder / "precious").exists()
    finally:
        (other.folder / "precious").unlink()
        other.folder.rmdir()
