"""The edge's haproxy.cfg: as it reads, what it refuses, and the bounds computed from its settings."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress.explain import check
from fortress.haproxy import HSTS_S, Backend, Checks, Edge, Timeouts, detection_bound_ms, drop_in, render, retries
from tests.unit.facts import changed_facts, refusal_of
from tests.unit.golden import check_golden

OSLO = {"oslo-web": "10.100.0.3:80"}
FRANKFURT = {"fra-1": "10.100.0.4:80", "fra-2": "10.100.0.5:80"}


def edge(oslo: Mapping[str, str] = OSLO, frankfurt: Mapping[str, str] = FRANKFURT, **facts: Any) -> Edge:
    primary, overflow = backend("oslo", oslo, 200), backend("frankfurt", frankfurt, 200)
    return Edge(server_name="lab.fortress.example", primary=primary, overflow=overflow, **facts)


def backend(site: str, servers: Mapping[str, str], maxconn: int) -> Backend:
    return Backend(site=site, servers=dict(servers), maxconn=maxconn)


def directives(config: str) -> list[str]:
    """The lines as HAProxy sees them: without comments and blank lines."""
    lines = (line.split("#")[0].strip() for line in config.splitlines())
    return [line for line in lines if line]


def test_drop_in() -> None:
    check_golden("haproxy-50-fortress.conf", drop_in())


def test_lab() -> None:
    check_golden("haproxy.cfg", render(edge()))


def test_no_overflow_servers() -> None:
    check_golden("haproxy-no-overflow.cfg", render(edge(frankfurt={})))


def test_the_articles_timings_and_ipv6() -> None:
    article = edge(
        oslo={"web01": "[2001:db8::3]:8080", "web02": "10.100.0.6:80"},
        checks=Checks(inter_ms=2000, fastinter_ms=2000, fall=3, rise=2, timeout_ms=2000, connect_ms=5000),
        timeouts=Timeouts(client_ms=30_500, server_ms=20_000, queue_ms=1500, tunnel_ms=90_000),
        other_names=("www.fortress.example", "fortress.example"),
        client_maxconn=900,
        hsts_s=HSTS_S,
        bind_http="192.0.2.12:80",
        bind_https="[2001:db8::12]:8443",
        maxconn=5000,
        health_path="/~app/health.json",
    )
    check_golden("haproxy-article.cfg", render(article))


def test_paths_and_methods_that_stay_at_home() -> None:
    home: dict[str, Any] = {"home_paths": ("/account", "/api/v1.2/orders"), "home_methods": ("POST", "DELETE")}
    check_golden("haproxy-home.cfg", render(edge(**home)))


def test_each_way_to_the_overflow_site_knows_what_stays_at_home() -> None:
    """Both frontends that lead there, and its own backend, however many ways there are."""
    sections = render(edge(home_paths=("/account",))).split("\n\n")
    leading = [one for one in sections if "backend frankfurt" in one]
    assert [one.splitlines()[0].split()[0] for one in leading] == ["frontend", "#", "backend"]
    assert all("acl stays_home path,url_dec -m beg -i /account\n" in one for one in leading)
    assert "http-request deny deny_status 503 if stays_home\n" in leading[-1]
    assert "stays_home" not in render(edge())


def test_figures_are_asked_for_in_the_tunnel_only() -> None:
    """All else stays as it is, but for room for those who ask."""
    check_golden("haproxy-metrics.cfg", render(edge(metrics="10.100.0.3:8405")))
    before, after = render(edge()).splitlines(), render(edge(metrics="10.100.0.3:8405")).splitlines()
    added = [line for line in after if line not in before]
    assert [line for line in before if line not in after] == ["    maxconn 6000"]
    assert [line for line in added if "bind" in line] == ["    bind 10.100.0.3:8405 transparent"]
    assert "    maxconn 6010" in added


def test_a_worker_more_is_one_line_more() -> None:
    before = render(edge()).splitlines()
    after = render(edge(frankfurt={"fra-3": "10.100.0.6:80", **FRANKFURT})).splitlines()
    added = [line for line in after if line not in before]
    assert added == ["    server fra-3 10.100.0.6:80 tcp-ut 2s"]
    assert [line for line in after if line not in added] == before


def test_the_first_overflow_worker_is_one_line_more() -> None:
    one = {"fra-1": FRANKFURT["fra-1"]}
    none_yet = render(edge(frankfurt={})).splitlines()
    assert [line for line in render(edge(frankfurt=one)).splitlines() if line not in none_yet] == [
        "    server fra-1 10.100.0.4:80 tcp-ut 2s"
    ]


def test_the_order_of_servers_is_that_of_their_names() -> None:
    turned = dict(reversed(FRANKFURT.items()))
    assert list(turned) != list(FRANKFURT)
    assert render(edge(frankfurt=turned)) == render(edge())


@pytest.mark.parametrize(
    ("maxconn", "client_maxconn", "most"), [(2000, None, 500), (2000, 2000, 2000), (210, None, 52), (201, 1, 1)]
)
def test_a_client_has_a_quarter_unless_it_is_set(maxconn: int, client_maxconn: int | None, most: int) -> None:
    assert edge(maxconn=maxconn, client_maxconn=client_maxconn).most_per_client == most


def test_a_client_of_a_small_edge_has_what_a_few_browsers_need() -> None:
    small = {"primary": backend("oslo", {}, 1), "overflow": backend("frankfurt", {}, 1)}
    assert changed_facts(edge(), **small, maxconn=100).most_per_client == 32
    assert changed_facts(edge(), **small, maxconn=20).most_per_client == 20


@pytest.mark.parametrize(("client_ms", "request_ms"), [(10_000, 5000), (800, 800)])
def test_the_head_of_a_request_is_waited_for_five_seconds_at_most(client_ms: int, request_ms: int) -> None:
    assert Timeouts(client_ms=client_ms).request_ms == request_ms


@pytest.mark.parametrize(
    ("checks", "refused", "silent"),
    [
        (Checks(), 1200, 2000),  # the defaults, as in the design's reference
        (Checks(inter_ms=2000, fastinter_ms=2000, fall=3, timeout_ms=2000, connect_ms=5000), 6000, 12000),  # HAProxy's
        (Checks(fall=1), 1000, 1400),
        (Checks(timeout_ms=900), 1200, 3000),  # a hung process is found by the timeout of the answer
        (Checks(connect_ms=5000), 1200, 3200),  # connecting waits no longer than inter
    ],
)
def test_detection_bound(checks: Checks, refused: int, silent: int) -> None:
    assert detection_bound_ms(checks, black_hole=False) == refused
    assert detection_bound_ms(checks, black_hole=True) == silent


checks_allowed = st.integers(100, 2000).flatmap(
    lambda inter: st.builds(
        Checks,
        inter_ms=st.just(inter),
        fastinter_ms=st.integers(50, inter),
        fall=st.integers(1, 3),
        rise=st.integers(1, 2),
        timeout_ms=st.integers(50, 2000),
        connect_ms=st.integers(50, 5000),
    )
)


@given(checks_allowed)
def test_a_request_is_tried_until_its_server_is_marked_down_and_not_for_ever(checks: Checks) -> None:
    tries = retries(checks) - 1  # the first one after that is ended with the streams of the dead server
    assert tries * checks.connect_ms >= detection_bound_ms(checks, black_hole=True)
    assert tries * min(1000, checks.connect_ms) >= detection_bound_ms(checks, black_hole=False)
    assert (tries - 1) * min(1000, checks.connect_ms) < detection_bound_ms(checks, black_hole=True)
    assert detection_bound_ms(checks, black_hole=False) < detection_bound_ms(checks, black_hole=True)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("server_name", {"server_name": "lab.fortress.example\n    bind :8080"}),
    ("server_name", {"server_name": "Lab.example"}),
    ("server_name", {"server_name": "-lab.example"}),
    ("server_name", {"server_name": "lab..example"}),
    ("server_name", {"server_name": ""}),
    ("health_path", {"health_path": "health"}),
    ("health_path", {"health_path": "/health ver HTTP/1.0"}),
    ("health_path", {"health_path": "/health#"}),
    ("health_path", {"health_path": "/%[src]"}),
    ("certificate", {"certificate": "/etc/ssl/private/site.pem alpn h2"}),
    ("certificate", {"certificate": "site.pem"}),
    ("certificate", {"certificate": "/etc/../root/site.pem"}),
    ("stats_socket", {"stats_socket": "/run/haproxy/admin.sock level"}),
    ("chroot", {"chroot": "/"}),
    ("user", {"user": "root me"}),
    ("group", {"group": '"'}),
    ("bind_http", {"bind_http": "80"}),
    ("bind_http", {"bind_http": ":0"}),
    ("bind_https", {"bind_https": ":65536"}),
    ("bind_https", {"bind_https": "*:443"}),
    ("bind_https", {"bind_https": "2001:db8::1:443"}),
    ("maxconn", {"maxconn": 0}),
    ("maxconn", {"maxconn": True}),
    ("maxconn", {"maxconn": 200}),  # not above the 200 slots of oslo-web
    ("client_maxconn", {"client_maxconn": 0}),
    ("client_maxconn", {"client_maxconn": 2001}),  # above maxconn
    ("other_names[0]", {"other_names": ("www.example } bind",)}),
    ("other_names", {"other_names": ("www.example", "www.example")}),
    ("other_names", {"other_names": ("lab.fortress.example",)}),
    ("home_paths[0]", {"home_paths": ("account",)}),
    ("home_paths[0]", {"home_paths": ("/",)}),  # no request would ever leave
    ("home_paths[0]", {"home_paths": ("/account/",)}),  # or /account itself would leave
    ("home_paths[0]", {"home_paths": ("/a/../account",)}),
    ("home_paths[0]", {"home_paths": ("/account or TRUE",)}),
    ("home_paths[0]", {"home_paths": ("/%61ccount",)}),
    ("home_paths", {"home_paths": ("/account", "/account")}),
    ("home_methods[0]", {"home_methods": ("post",)}),
    ("home_methods[0]", {"home_methods": ("POST }",)}),
    ("home_methods", {"home_methods": ("POST", "POST")}),
    ("hsts_s", {"hsts_s": -1}),
    ("hsts_s", {"hsts_s": 2 * HSTS_S + 1}),
    ("answers_within_s", {"answers_within_s": 601}),
    ("overflow.site", {"overflow": backend("oslo", {}, 1)}),
    ("overflow.servers", {"overflow": backend("frankfurt", OSLO, 1)}),
]


@pytest.mark.parametrize(("field", "change"), REFUSED)
def test_an_edge_refuses_and_names_the_field(field: str, change: dict[str, Any]) -> None:
    (line,) = refusal_of(lambda: changed_facts(edge(), **change))
    assert line.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("site", lambda: backend("oslo\nfrontend evil", {}, 1)),
        ("servers", lambda: backend("oslo", {"web 10.0.0.1:80": "10.0.0.1:80"}, 1)),
        ("servers", lambda: backend("oslo", {"to_frankfurt": "10.0.0.1:80"}, 1)),
        ("servers.web", lambda: backend("oslo", {"web": "10.0.0.1:80 weight 0"}, 1)),
        ("servers.web", lambda: backend("oslo", {"web": "10.0.0.1"}, 1)),
        ("servers.web", lambda: backend("oslo", {"web": ":80"}, 1)),
        ("servers.web", lambda: backend("oslo", {"web": "web.example:80"}, 1)),
        ("servers.web", lambda: backend("oslo", {"web": "[fe80::1%eth0]:80"}, 1)),
        ("servers.web", lambda: backend("oslo", {"web": "10.0.0.1:٨٠"}, 1)),  # digits, but not ASCII
        ("maxconn", lambda: backend("oslo", {}, 0)),
        ("inter_ms", lambda: Checks(inter_ms=2001)),
        ("fastinter_ms", lambda: Checks(fastinter_ms=1001)),
        ("fall", lambda: Checks(fall=4)),
        ("rise", lambda: Checks(rise=3)),
        ("connect_ms", lambda: Checks(connect_ms=5001)),
        ("queue_ms", lambda: Timeouts(queue_ms=0)),
    ],
)
def test_its_parts_refuse_and_name_the_field(field: str, make: Any) -> None:
    (line,) = refusal_of(make)
    assert line.startswith(f"{field}: ")


hostile = st.text(max_size=40) | st.text(alphabet="abc01.:-_/ \t\n\r\"'\\#;%[]{}$\0", max_size=40)
TEXT_FIELDS = sorted(name for name, field in Edge.model_fields.items() if field.annotation is str)


@given(st.sampled_from(TEXT_FIELDS), hostile, st.sampled_from(["", "/", ":80", "10.0.0.1:80", "/etc/a", "a.example"]))
def test_no_text_adds_a_directive(field: str, value: str, start: str) -> None:
    change: dict[str, Any] = {field: start + value}
    problems = check(Edge, {**dict(edge()), **change})
    if not problems:
        config = render(changed_facts(edge(), **change))
        assert [words(line) for line in directives(config)] == [words(line) for line in directives(render(edge()))]
    else:
        assert [line.partition(": ")[0] for line in problems] == [field]


@given(hostile, hostile, hostile)
def test_no_server_adds_a_directive(site: str, name: str, address: str) -> None:
    for backend_site, servers in (
        (site, {}),
        ("frankfurt", {name: "10.100.0.4:80"}),
        ("frankfurt", {"fra-1": address}),
        ("frankfurt", {"fra-1": "10.100.0.4:80" + address}),
    ):
        try:
            config = render(changed_facts(edge(), overflow=backend(backend_site, servers, 200)))
        except ValueError:
            continue
        expected = render(edge(frankfurt=dict.fromkeys(("fra-1",)[: len(servers)], "10.100.0.4:80")))
        assert [words(line) for line in directives(config)] == [words(line) for line in directives(expected)]


def words(line: str) -> tuple[str, int]:
    """A directive's keyword and how many words it has: what no value may change."""
    parts = line.split()
    return parts[0], len(parts)
