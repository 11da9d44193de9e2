"""What the lab makes of a cloud's machine and volume, as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import api
from lab.base import topology
from lab.base.errors import LabError
from lab.base.folders import Lab
from lab.host import cloud_config, hosts, volumes

CONFIG = """#cloud-config
hostname: "oslo-db"
preserve_hostname: false
manage_etc_hosts: localhost
ssh_pwauth: false
disable_root: true
"""


def volume(device: str = "vdb", serial: str = "0123456789-0123456789-012345") -> volumes.LabVolume:
    return volumes.LabVolume(serial, "/image", "cloud-o1", device, 12)


def test_the_pool_has_fixed_addresses_and_is_not_started_by_itself() -> None:
    addresses = {name: str(host.address) for name, host in topology.CLOUD.items()}
    assert addresses["cloud-o1"] == "192.0.2.31"
    assert addresses["cloud-o6"] == "192.0.2.36"
    assert addresses["cloud-f1"] == "203.0.113.31"
    assert addresses["cloud-f8"] == "203.0.113.38"
    assert len(addresses) == 14
    assert not topology.CLOUD.keys() & set(topology.STANDARD)


def test_a_hostname_from_user_data() -> None:
    assert cloud_config.hostname(CONFIG, "other") == "oslo-db"
    assert cloud_config.hostname("", "other") == "other"
    assert cloud_config.hostname("#cloud-config\n", "other") == "other"


def test_the_first_user_is_the_images_unless_user_data_names_another() -> None:
    assert cloud_config.login(CONFIG, "admin") == "admin"
    assert cloud_config.login(CONFIG + "user: {name: debian}\n", "admin") == "debian"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("#!/bin/sh\ntrue\n", "other than #cloud-config"),
        (CONFIG + "runcmd: [reboot]\n", "'runcmd'"),
        (CONFIG + "user: {name: debian, sudo: false}\n", "user: "),
        (CONFIG.replace("ssh_pwauth: false", "ssh_pwauth: true"), "ssh_pwauth: True"),
        ("#cloud-config\nhostname: 3\n", "hostname: 3"),
        ("#cloud-config\nhostname: a_b\n", "'a_b' is not a host name"),
        ("#cloud-config\n- a\n", "not a mapping"),
        ("#cloud-config\na: [\n", "not YAML"),
    ],
)
def test_user_data_that_would_be_ignored_is_refused(text: str, word: str) -> None:
    with pytest.raises(LabError, match=word):
        cloud_config.hostname(text, "other")


def test_further_addresses_stand_beside_the_pools() -> None:
    text = hosts.network_file(topology.CLOUD["cloud-o1"], ["10.20.0.11/24"])
    assert [line for line in text.splitlines() if line.startswith("Address=")] == [
        "Address=192.0.2.31/24",
        "Address=10.20.0.11/24",
    ]
    assert "10.20" not in hosts.network_file(topology.CLOUD["cloud-o1"])


def test_a_login_is_a_user_who_may_become_root(tmp_path: Path) -> None:
    base, disk = tmp_path / "base", tmp_path / "disk"
    (base / "etc").mkdir(parents=True)
    (disk / "etc").mkdir(parents=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        (base / "etc" / name).write_text("root:x:0:0\n")
    (base / "etc/shadow").chmod(0o640)
    hosts.add_login(disk, base, "debian", "ssh-ed25519 AAAA me\n")
    passwd = (disk / "etc/passwd").read_text().splitlines()
    assert passwd == ["root:x:0:0", "debian:x:1001:1001::/home/debian:/bin/bash"]
    assert (disk / "etc/shadow").read_text().splitlines()[1].startswith("debian:!:")
    assert (disk / "etc/shadow").stat().st_mode & 0o777 == 0o640
    keys = disk / "home/debian/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA me\n"
    assert (keys.stat().st_uid, keys.stat().st_mode & 0o777) == (1001, 0o600)
    assert (disk / "home/debian").stat().st_uid == 1001
    assert (disk / "etc/sudoers.d/90-cloud-init-users").read_text() == "debian ALL=(ALL) NOPASSWD:ALL\n"
    with pytest.raises(LabError, match="already has a user 'root'"):
        hosts.add_login(disk, base, "root", "ssh-ed25519 AAAA me\n")


def test_a_volume_shows_twenty_characters_of_its_serial_number() -> None:
    assert volume().link == "/dev/disk/by-id/virtio-0123456789-012345678"
    empty = [
        "b /dev/vdb 0660 root disk - 7:12",
        "d /dev/disk/by-id 0755 root root",
        f"L+ {volume().link} - - - - ../../vdb",
    ]
    assert volume().nodes("").splitlines() == empty
    assert volume().nodes("e7bec737").splitlines() == [
        *empty,
        "d /dev/disk/by-uuid 0755 root root",
        "L+ /dev/disk/by-uuid/e7bec737 - - - - ../../vdb",
    ]


def test_the_first_free_device_is_taken() -> None:
    assert volumes.free_device([]) == "vdb"
    assert volumes.free_device([volume("vdb"), volume("vdd")]) == "vdc"
    with pytest.raises(LabError, match="25 volumes"):
        volumes.free_device([volume(f"vd{letter}") for letter in "bcdefghijklmnopqrstuvwxyz"])


def test_nothing_of_the_users_clouds_reaches_a_lab() -> None:
    lab = Lab("test")
    found = lab.surroundings(
        {
            "PATH": "/bin",
            "OS_CLOUD": "mine",
            "OS_USERNAME": "me",
            "OS_APPLICATION_CREDENTIAL_SECRET": "x",
            "AWS_PROFILE": "mine",
            "AWS_SESSION_TOKEN": "x",
            "OSTYPE": "linux",
        }
    )
    assert (found["PATH"], found["OSTYPE"]) == ("/bin", "linux")
    assert (found["OS_USERNAME"], found["OS_PASSWORD"]) == ("fortress", "lab")
    assert not {"OS_CLOUD", "OS_APPLICATION_CREDENTIAL_SECRET", "AWS_PROFILE", "AWS_SESSION_TOKEN"} & found.keys()
    assert found["AWS_CONFIG_FILE"] == found["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert found["FORTRESS_CLOUDS"] == str(lab.clouds)


def test_what_is_not_of_the_pool_is_never_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORTRESS_LAB", "nosuchlab")
    with pytest.raises(LabError, match="no cloud of the lab has a machine 'oslo-db'"):
        api.discard("oslo-db")
    api.discard("cloud-o1")
