"""A headless Chromium as Debian packages it, in namespaces of its own, driven by Playwright.

Nothing is installed on the machine: the packages are unpacked into the cache, 600 MB of it. In the browser's network
namespace nothing is up, not even loopback, so what it shows it has from the page alone. Needs root, as the lab does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lab.base.folders import RELEASES
from tests.engine import debian

_PACKAGES = (
    *("chromium-headless-shell", "fonts-dejavu-core", "fontconfig"),
    *("base-files", "base-passwd", "coreutils", "dash", "libc-bin"),
)
_LAYOUT = 1  # raised when what is unpacked, or how, changes

# What the packages' own scripts would do, as far as it is needed here.
_FINISH = """
cp /usr/share/base-passwd/passwd.master /etc/passwd
cp /usr/share/base-passwd/group.master /etc/group
mkdir -p /mnt
ldconfig
fc-cache --system-only
"""

# The debugging pipe that Playwright speaks through are the descriptors 3 and 4, which stay open all the way.
_WRAPPER = """#!/bin/sh
exec unshare --mount --net --pid --fork --kill-child sh -euc '
    root=$1 folder=$2; shift 2
    mount --make-rprivate /
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --bind "$folder" "$root/mnt"
    # There is no sandbox for root, and none is needed: this is one, and the page is our own.
    exec chroot "$root" env -i PATH=/usr/bin HOME=/tmp chromium-headless-shell --no-sandbox "$@"
' chromium ROOT FOLDER "$@"
"""


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser that sees the files of `folder` as file:///mnt/…, and nothing else; end it afterwards."""
    if os.geteuid() != 0:
        raise PermissionError("these tests make namespaces: run them as root")
    root = debian.unpacked("chromium", RELEASES[0], _LAYOUT, _PACKAGES, _FINISH)
    wrapper = folder / "chromium"
    wrapper.write_text(_WRAPPER.replace("ROOT", str(root)).replace("FOLDER", str(folder)))
    wrapper.chmod(0o755)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=wrapper)
        try:
            yield running
        finally:
            running.close()
