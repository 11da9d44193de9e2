"""Machines and volumes of the clouds' pool, as the stand-ins for the clouds use them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import api
from lab.base import topology
from lab.host import volumes
from lab.net import network
from tests.lab.conftest import StandingLab

USER_DATA = "#cloud-config\nhostname: db-1\npreserve_hostname: false\nssh_pwauth: false\ndisable_root: true\n"
SERIAL = "7f5a9c1e-0d3b-4c52-9b0e-5a8f2c6d4e11"
LINK = "/dev/disk/by-id/virtio-7f5a9c1e-0d3b-4c52-9"


class Client:
    """Who logs in to the machines with a key of their own."""

    def __init__(self, lab: StandingLab, folder: Path) -> None:
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.public_key = self.key.with_suffix(".pub").read_text()
        self.lab = lab

    def ask(self, host: str, command: str) -> subprocess.CompletedProcess[str]:
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "ConnectTimeout=2"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentityAgent=none", "-o", "LogLevel=ERROR"]
        address = f"debian@{topology.HOSTS[host].address}"
        words = [*network.enter(self.lab.lab, "operator"), "ssh", *options, "-i", str(self.key), address, command]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)

    def on(self, host: str, command: str) -> str:
        """What a command prints there once the machine lets us in; it must succeed."""
        deadline = time.monotonic() + 20
        while (done := self.ask(host, command)).returncode == 255 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert done.returncode == 0, f"{host}: {command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def client(plain: StandingLab, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(plain, tmp_path_factory.mktemp("client"))


@pytest.fixture
def machines(client: Client) -> Iterator[tuple[str, str]]:
    """Two machines that have just been booted; nobody has waited for them."""
    for name in ("cloud-o1", "cloud-f1"):
        api.boot(name, "debian", client.public_key, "unnamed", USER_DATA, ["10.20.0.11/24"])
    yield "cloud-o1", "cloud-f1"
    for name in ("cloud-o1", "cloud-f1"):
        api.discard(name)
    assert not {"cloud-o1", "cloud-f1"} & api.hosts().keys()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    with path.open("wb") as file:
        file.truncate(64_000_000)
    return path


def test_a_machine_is_what_its_cloud_was_asked_for(machines: tuple[str, str], client: Client) -> None:
    first, second = machines
    assert client.on(first, "hostname; id -un; sudo id -un").split() == ["db-1", "debian", "root"]
    assert "10.20.0.11/24" in client.on(first, "ip -o addr show host0")
    assert client.on(first, "ip route get 203.0.113.31").split()[6] == "192.0.2.31"
    assert client.on(second, "systemctl --failed --plain --no-legend") == ""
    state = api.hosts()[first]
    assert (state.running, state.address) == (True, "192.0.2.31")
    assert first not in api.up(), "a plain up is no business of machines of the clouds"
    with pytest.raises(api.LabError, match="cloud-o1 runs already"):
        api.boot(first, "debian", client.public_key, "x", "")
    api.shut_down(first)
    assert first not in api.up()
    assert not api.hosts()[first].running
    assert api.start(first)
    key = api.hosts()[first].host_key
    api.kill(first)
    api.boot(first, "debian", client.public_key, "again", "")
    assert client.on(first, "hostname") == "again"
    assert api.hosts()[first].host_key != key, "a new machine has a new disk"


def test_a_volume_outlives_its_machines(machines: tuple[str, str], client: Client, image: Path) -> None:
    first, second = machines
    assert api.attach(first, image, SERIAL) == "/dev/vdb"
    client.on(first, f"sudo mkfs.ext4 -q {LINK} && sudo mkdir /data && sudo mount {LINK} /data")
    uuid = client.on(first, "sudo blkid -o value -s UUID /dev/vdb")
    client.on(first, "echo kept | sudo tee /data/file && sync")
    with pytest.raises(api.LabError, match=f"volume {SERIAL} is attached to cloud-o1"):
        api.attach(second, image, "another")
    with pytest.raises(api.LabError, match=f"cloud-o1 has volume {SERIAL} mounted"):
        api.detach(first, SERIAL)
    with pytest.raises(api.LabError, match=f"volume {SERIAL} is not attached to cloud-f1"):
        api.detach(second, SERIAL)

    unit = f"[Mount]\nWhat=UUID={uuid}\nWhere=/data\n[Install]\nWantedBy=local-fs.target\n"
    client.on(
        first, f"printf '{unit}' | sudo tee /etc/systemd/system/data.mount && sudo systemctl enable -q data.mount"
    )
    api.kill(first)
    api.start(first)
    assert client.on(first, "cat /data/file") == "kept", "the disk is there early enough to be mounted at boot"
    client.on(first, "sudo systemctl disable -q --now data.mount")
    loop = volumes.load(client.lab.lab)[SERIAL].loop
    api.detach(first, SERIAL)
    assert client.on(first, "ls /dev | grep -c ^vd; true") == "0"
    assert volumes.backing_file(loop) != str(image)

    api.attach(second, image, SERIAL)
    client.on(second, f"sudo mount -m {LINK} /data")
    assert client.on(second, "cat /data/file") == "kept"
    api.discard(second)
    assert volumes.load(client.lab.lab) == {}
    api.attach(first, image, SERIAL)
    assert client.on(first, f"sudo mount {LINK} /data && cat /data/file") == "kept"


def test_what_no_cloud_has_booted_cannot_be_started() -> None:
    with pytest.raises(api.LabError, match="there is no machine cloud-o6"):
        api.start("cloud-o6")
    with pytest.raises(api.LabError, match="no cloud of the lab has a machine 'oslo-db'"):
        api.discard("oslo-db")
    assert "cloud-o6" not in api.hosts()
    api.discard("cloud-o6")
