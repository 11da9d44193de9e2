"""A short run of the edge's benchmark, so that it keeps working and the edge's file as cheap as it is."""

import dataclasses

import pytest

from bench import edge
from lab.base.folders import RELEASES

SAID = """Running 1s test @ https://127.0.0.1:24831/
  1 threads and 20 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.91ms    1.98ms  31.90ms   92.51%
    Req/Sec    37.10k     3.02k   41.93k    60.00%
  Latency Distribution
     50%  410.00us
     75%  640.00us
     90%    1.70ms
     99%    1.02s
  36908 requests in 1.00s, 40.05MB read
Requests/sec:  36871.20
Transfer/sec:     40.01MB
"""


def test_what_wrk_says() -> None:
    found = edge.read(SAID, 0.5)
    assert dataclasses.astuple(found) == pytest.approx((36871.2, 0.41, 1020, 13.547), rel=1e-4)
    with pytest.raises(RuntimeError, match="nothing of use"):
        edge.read(SAID.replace("99%", "98%"), 0.5)


def test_the_ratio_is_that_of_medians() -> None:
    minimal, edges = ([edge.EdgeRun(rate, 1, 2, 3) for rate in rates] for rates in ((80, 100, 900), (1, 95, 96)))
    assert edge.ratio(minimal, edges, "per_second") == 0.95


@pytest.mark.parametrize("release", RELEASES)
def test_the_edge_costs_little_more_than_a_minimal_file(release: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    little = 2.0  # 1.2 measured, and 3.4 with a connection for each request
    folder = tmp_path_factory.mktemp("bench")
    for each in (folder, *folder.parents):  # HAProxy gives up root before it reads there
        each.chmod(each.stat().st_mode | 0o111)
    minimal, edges, version = edge.measured(edge.programs(release, folder), folder, 1, 2, 20)
    print(version, minimal, edges)
    assert all(run.per_second > 0 for run in (*minimal, *edges))
    # Time on a processor hardly depends on what else the machine does.
    if release == "trixie":
        assert edge.ratio(minimal, edges, "cpu_us") < little
