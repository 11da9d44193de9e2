"""A little of the measuring room: the rivals of bench/ still push what they are compared by."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bench import content, stand
from bench.rivals import part
from tests.lab.fortress import PREFIX, Fortress, on


@pytest.fixture(scope="module")
def texts(fortress: Fortress) -> Iterator[part.Content]:
    part.install()
    said = fortress.engine("stack", "export", "--show-secrets")
    resources = json.loads(said[said.index("{\n") :])["deployment"]["resources"]
    settings = stand.settings(fortress.file)
    assert PREFIX not in "".join(settings)
    with stand.folder() as folder:
        found = part.Content(folder / "content")
        content.export(resources, settings, found.folder)
        yield found


def config() -> str:
    return on(part.EDGE, "cat /etc/haproxy/haproxy.cfg")


def test_the_rivals_reload_the_edge_for_one_line_and_put_it_back(texts: part.Content) -> None:
    file = texts.folder / part.EDGE / part.CONFIG
    ours = file.read_text()
    assert ours.strip() == config(), "what is exported is what stands"
    taken: dict[str, float] = {}
    with stand.folder() as folder:
        ansible = part.Ansible(texts, folder)
        part.one_line(ansible, 1, taken.__setitem__)
        assert f"timeout queue {part.timeout_ms(1)}ms" in config()
        file.write_text(ours)
        part.until_reloaded(lambda: part.Pyinfra(texts).deploy("haproxy.py", "--limit", part.EDGE))
    assert config() == ours.strip()
    assert on(part.EDGE, "stat -c '%a %U:%G' /etc/haproxy/haproxy.cfg") == "640 root:haproxy"
    assert set(taken) == {"ansible line", "ansible line end"}
    part.answered()
