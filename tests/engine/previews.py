"""What the engine prints of a preview, made the same from one run to the next."""

from __future__ import annotations

import re
from collections.abc import Iterable

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes for text that is not known before an update (`sdk/go/common/resource/plugin/rpc.go`)."""

_PLUGINS = (
    r"(?m)^.*(warning: using pulumi-resource-|\+stand-in: this is the stand-in).*\n",
    r"(?m)^(plugin: |cannot ignore changes in).*\n",
    r"(?m)^@ (previewing|updating) .*\n",  # a sign of life, between any two lines where a step takes long
)
_VERSIONS = (
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"(haproxy\.cfg|workload|edge|passwords) [0-9a-f]{16}\b", r"\1 <version>"),
)
_MASKS = (
    (r"(--machine |FORTRESS_MACHINE=)[^\s\"']+", r"\1<machine>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"\b(i|ami|vpc|subnet|sg|sgr|igw|rtb|rtbassoc|eni|vol)-[0-9a-f]{8,17}\b", r"<\1>"),
    (r"\bssh-(ed25519|rsa) [A-Za-z0-9+/=]{40,}", "<host key>"),
    (r"(PublicKey = )[A-Za-z0-9+/]{43}=", r"\1<key>"),
    (r"(BEGIN CERTIFICATE-----)(\\n|\s|[A-Za-z0-9+/=.])+", r"\1 <certificate>"),
    (r"\[id=[^\]]+\]", "[id=<id>]"),
    (r'(~ stdout +: )"[^"]*"', r'\1"<answer>"'),
    (r"\b(192\.0\.2|203\.0\.113)\.3[1-8]\b", "<address>"),
)
_BLOCK = re.compile(r"(?m)^(?=[^\n]*: \([\w-]+(?:\[retain\])?\)[^\n]*\n\s+\[(?:id|urn)=)")
_TAIL = re.compile(r"(?m)^(?= *--outputs:--$|Resources:$)")


def without_plugins(said: str) -> str:
    """What the engine printed, without what it and the stand-ins say about plugins, and without signs of life."""
    for line in _PLUGINS:
        said = re.sub(line, "", said)
    return said


def without_versions(said: str) -> str:
    """Without the digests, which change with every word of a file that is sent whole."""
    return _replaced(said, _VERSIONS)


def masked(said: str) -> str:
    """What the engine printed, without plugins' lines, and without what differs from one stack to the next."""
    return _replaced(without_versions(without_plugins(said)), _MASKS)


def _replaced(said: str, masks: Iterable[tuple[str, str]]) -> str:
    for pattern, instead in masks:
        said = re.sub(pattern, instead, said)
    return said


def without_scripts(said: str) -> str:
    """Shell scripts as their first line: the engine shows three, and the others are comments."""
    return re.sub(r'"#!/bin/sh\\n(?:[^"\\]|\\.)*"', r'"#!/bin/sh\\n..."', said)


def in_order(preview: str) -> str:
    """A preview by `--diff` with its resources in the order of their names: the engine's own differs between runs.

    The stack stays first, and the steps of one resource in their order.
    """
    head, *blocks = _BLOCK.split(preview)
    if not blocks:
        return preview
    last, *tail = _TAIL.split(blocks.pop(), maxsplit=1)
    return head + "".join([*sorted([*blocks, last], key=_place), *tail])


def _place(block: str) -> tuple[bool, str, str]:
    found = re.search(r"\[urn=(\S+::(\S+))\]", block)
    if found is None:
        return True, "", ""
    return ":pulumi:Stack::" not in found[1], found[2], found[1]
