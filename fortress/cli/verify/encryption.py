"""Encryption as it is seen on the bytes, and TLS as it was negotiated. Plain functions, no network."""

from __future__ import annotations

from fortress.cli.base.errors import GARBLED
from fortress.cli.base.result import Result
from fortress.cli.check.check import Check
from fortress.cli.verify.verdicts import TLS_VERSIONS, read_json


def of_tunnel(check: Check, line: str, stderr: str) -> Check:
    """What probes/tunnel.py printed of one peer."""
    try:
        said = read_json(line)
        inside, sealed, error = int(said["inside"]), int(said["sealed"]), str(said["error"])
        clear = [str(device) for device in said["clear"]]
    except GARBLED:
        return check.unknown(stderr or "the host did not say what came of it")
    if clear:
        cure = f"`ip route get` there says which way packets to {check.about} take; run `pulumi up`"
        return check.fail("readable", f"what was sent to {check.about} left by {' and '.join(clear)} as it was: {cure}")
    if not inside:
        return check.fail("not in the tunnel", f"nothing to {check.about} went into the tunnel: {error or 'no route'}")
    if not sealed:
        return check.unknown(f"no packet of the tunnel to {check.about} went out while the host was looked at")
    return check.ok("unreadable", "bytes sent into the tunnel were looked for on every other interface")


RANDOM_BITS = 7.9
"""64 kB of random bytes have 7.997 bits each; pages of a file system have 0 to 6."""


def of_volume(check: Check, result: Result) -> Check:
    """What probes/volume.py printed."""
    try:
        said = read_json(result.stdout)
        if "error" in said:
            return check.unknown(str(said["error"]))
        device, bits = str(said["device"]), float(said["entropy"])
        is_luks, same = bool(said["luks"]), bool(said["same"])
    except GARBLED:
        return check.unknown(result.stderr or f"the host printed {result.stdout!r}")
    if not is_luks:
        return check.fail("readable", f"{device} does not begin as LUKS: the data lie there as they are")
    if same or not bits >= RANDOM_BITS:
        return check.fail("readable", f"{device} begins as LUKS, but its data have {bits:.1f} bits a byte")
    return check.ok("encrypted", f"{device}: LUKS, and {bits:.2f} bits a byte")


def of_edge(check: Check, version: str, cipher: str, oldest: str | None) -> Check:
    """What the edge and a client that offers everything agreed on; `oldest` is what a client that knows only broken
    versions got, empty for none and None where no such client could be had.
    """
    if version not in TLS_VERSIONS:
        return check.fail(version, f"{cipher}; older than TLS 1.2, and broken (RFC 8996)")
    if oldest:
        return check.fail(version, f"{cipher}; a client that offers only {oldest}, which is broken (RFC 8996), gets it")
    if oldest is None:
        return check.unknown(f"{version} and {cipher}; whether older ones are refused could not be tried from here")
    return check.ok(version, f"{cipher}; older than TLS 1.2 is refused")
