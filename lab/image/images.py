"""What takes long to make and is kept in the cache: the hosts' base system, their packages, the delay line.

Each thing is named by a hash of all that it is made from, and appears under its name only when it is complete.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable
from email.utils import formatdate
from functools import partial
from pathlib import Path

from lab.base import topology
from lab.base.commands import run
from lab.base.folders import cache, locked
from lab.image import sources

HERE = Path(__file__).parent

BASE_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "openssh-server", "sudo", "python3", "iproute2", "iputils-ping"),
    *("ca-certificates", "procps", "less"),
)
"""A server as a provider hands it out. nftables is left out: the program installs what it needs."""

RELEASE_PACKAGES = {"trixie": ("linux-sysctl-defaults", "e2fsprogs")}
"""What every server of a release has, and its minimal system lacks: from 13 on, leave for all to ping, and ext4."""

OFFERED_PACKAGES = (
    *("nftables", "wireguard-tools", "wireguard-go", "mariadb-server", "mariadb-client", "mariadb-backup"),
    *("galera-4", "galera-arbitrator-4", "haproxy", "python3-pymysql", "openssl", "curl", "socat", "iperf3", "fio"),
    *("restic", "chrony", "tcpdump", "prometheus-node-exporter", "prometheus-mysqld-exporter"),
)
"""What the lab's package repository offers, with all that it depends on."""


S3_SERVER = "github.com/versity/versitygw/cmd/versitygw"
"""The Go package of the S3 server that backups are tried on."""


def digest(parts: Iterable[str | bytes]) -> str:
    """Twelve hexadecimal digits that change when any part does."""
    sum_ = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        sum_.update(len(data).to_bytes(8) + data)
    return sum_.hexdigest()[:12]


def base_packages(release: str) -> tuple[str, ...]:
    """The packages of a release's base system."""
    return (*BASE_PACKAGES, *RELEASE_PACKAGES.get(release, ()))


def base_path(release: str) -> Path:
    """Where the base system of a Debian release is, or will be."""
    recipe = (HERE / "base.sh").read_bytes()
    parts = (
        *base_packages(release),
        *sources.suites(release),
        topology.REPOSITORY_URL,
        topology.USER,
        platform.machine(),
    )
    return cache() / f"base-{release}-{digest([recipe, *parts])}"


def repository_path(release: str) -> Path:
    """Where the package repository is, or will be; it belongs to one base system."""
    return cache() / f"packages-{release}-{digest([base_path(release).name, *OFFERED_PACKAGES])}"


def delay_line_path() -> Path:
    """Where the built delay line is, or will be."""
    texts = [path.read_bytes() for path in sorted((HERE / "delayline").glob("*")) if path.is_file()]
    return cache() / f"delayline-{digest([*texts, platform.machine()])}"


def s3_server_path() -> Path:
    """Where the built S3 server is, or will be."""
    return cache() / f"s3server-{digest([(HERE / 's3server' / 'go.sum').read_bytes(), platform.machine()])}"


def unmount_below(folder: Path) -> None:
    """Unmount what a build mounted in its folder and left there: it may be the machine's own, such as /proc."""
    found = json.loads(run(["findmnt", "--json", "--list", "--output", "TARGET"]))["filesystems"]
    mounts = [mount["target"] for mount in found if Path(mount["target"]).is_relative_to(folder.resolve())]
    for mount in reversed(mounts):  # the innermost is the last one
        run(["umount", mount])


def make_once(target: Path, make: Callable[[Path, Path], None]) -> Path:
    """Have `make(result, scratch)` make a thing unless the cache has it.

    What an interrupted run left is removed.
    """
    if target.exists():
        return target
    kind = target.name.partition("-")[0]
    cache().mkdir(parents=True, exist_ok=True)
    with locked(cache() / "locks" / kind):
        if target.exists():
            return target
        for left in cache().glob(f"making-{kind}-*"):
            unmount_below(left)
            shutil.rmtree(left)
        scratch = Path(tempfile.mkdtemp(prefix=f"making-{kind}-", dir=cache()))
        try:
            scratch.chmod(0o755)
            make(scratch / "result", scratch)
            unmount_below(scratch)
            os.sync()
            (scratch / "result").rename(target)
        finally:
            unmount_below(scratch)
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def apt_settings() -> str:
    """How this machine's apt reaches its sources: proxies, time limits and the like."""
    return "".join(
        f"{line}\n" for line in run(["apt-config", "dump"]).splitlines() if line.startswith(("Acquire::", "APT::Auth"))
    )


def make_base(release: str, result: Path, scratch: Path) -> None:
    """Build the base system with mmdebstrap."""
    settings = scratch / "apt.conf"
    settings.write_text(apt_settings())
    listing = scratch / "debian.list"
    listing.write_text("".join(f"{source.line}\n" for source in sources.debian(release)))
    run(
        [
            *(
                "mmdebstrap",
                "--quiet",
                "--mode=root",
                "--variant=minbase",
                f"--include={','.join(base_packages(release))}",
            ),
            *(f"--aptopt={settings}", release, str(result), str(listing)),
        ],
        seconds=1800,
    )
    run([str(HERE / "base.sh"), str(result), topology.USER, str(topology.USER_ID), topology.REPOSITORY_URL])


def make_repository(release: str, result: Path, scratch: Path) -> None:
    """Download what the base lacks for the offered packages, and index it as a flat repository."""
    result.mkdir()
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    listing = scratch / "debian.list"
    listing.write_text("".join(f"{source.line}\n" for source in sources.debian(release)))
    apt = [
        "apt-get",
        *("-o", f"Dir::State={scratch}/state", "-o", f"Dir::State::status={base_path(release)}/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache={scratch}/cache", "-o", f"Dir::Cache::archives={scratch}/cache/archives"),
        *("-o", f"Dir::Etc::sourcelist={listing}", "-o", "Dir::Etc::sourceparts=/dev/null"),
        *("-o", "Dir::Etc::preferences=/dev/null", "-o", "Dir::Etc::preferencesparts=/dev/null"),
        *("-o", "APT::Sandbox::User=root", "-o", "APT::Keep-Downloaded-Packages=true", "-o", "Acquire::Retries=3"),
        *("-o", "Debug::NoLocking=true"),  # the locks would be files in the base system
        "--yes",
    ]
    run([*apt, "update"], seconds=900)
    run([*apt, "install", "--download-only", "--no-install-recommends", *OFFERED_PACKAGES], seconds=1800)
    for package in (scratch / "cache/archives").glob("*.deb"):
        package.rename(result / package.name.replace("%3a", "."))
    index = run(["sh", "-c", 'cd "$1" && dpkg-scanpackages --multiversion .', "sh", str(result)])
    (result / "Packages").write_text(index)
    (result / "Packages.gz").write_bytes(gzip.compress(index.encode()))
    (result / "Release").write_text(release_file(release, result))


def release_file(release: str, folder: Path) -> str:
    """Text of the Release file of a flat repository: with it apt asks for what is there, and for nothing else."""
    lines = ["Origin: lab", "Label: lab", f"Suite: {release}", f"Date: {formatdate(usegmt=True)}", "SHA256:"]
    for name in ("Packages", "Packages.gz"):
        data = (folder / name).read_bytes()
        lines.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}")
    return "\n".join(lines) + "\n"


def make_delay_line(result: Path, scratch: Path) -> None:
    """Build the delay line; it needs nothing but Go itself."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath", "GOTOOLCHAIN": "local"}
    source = scratch / "delayline"
    shutil.copytree(HERE / "delayline", source)
    run(["go", "build", "-C", str(source), "-o", str(result), "."], environment=environment)


def make_s3_server(result: Path, scratch: Path) -> None:
    """Build an S3 server that keeps its objects as files, of the versions that its go.sum pins."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -trimpath", "GOTOOLCHAIN": "local"}
    source = scratch / "s3server"
    shutil.copytree(HERE / "s3server", source)
    run(
        ["go", "build", "-C", str(source), "-ldflags=-s -w", "-o", str(result), S3_SERVER],
        environment=environment,
        seconds=900,
    )


def base(release: str) -> Path:
    """The base system, built when the cache has none: half a minute."""
    return make_once(base_path(release), partial(make_base, release))


def repository(release: str) -> Path:
    """The package repository, made when the cache has none: about a minute, most of it download."""
    base(release)
    return make_once(repository_path(release), partial(make_repository, release))


def delay_line() -> Path:
    """The delay line, built when the cache has none."""
    return make_once(delay_line_path(), make_delay_line)


def s3_server() -> Path:
    """The S3 server, built when the cache has none: a few minutes, half of it download."""
    return make_once(s3_server_path(), make_s3_server)
