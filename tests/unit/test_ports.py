"""Claims: of two starts on the same ports or in the same folder, one is told that the other was first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sio_server.local.cluster import LocalCluster
from sio_server.local.errors import ClusterError
from sio_server.local.ports import find_ports
from sio_server.settings import load_settings

Made = list[LocalCluster]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    """Clusters whose claims are given back after the test."""
    clusters: Made = []
    yield clusters
    for cluster in clusters:
        cluster._claims.release()


def claim(made: Made, port: int, folder: Path, nodes: int = 2) -> None:
    made.append(LocalCluster(port, nodes, folder))
    made[-1].claim()


def test_of_two_starts_on_overlapping_ports_the_second_is_refused(
    made: list[LocalCluster], tmp_path: Path
) -> None:
    port = find_ports(3)
    claim(made, port, tmp_path / "a")
    with pytest.raises(ClusterError) as refused:
        claim(made, port + 1, tmp_path / "b")
    assert (refused.value.problem, refused.value.values["ports"]) == ("port_claimed", str(port + 1))


def test_of_two_starts_in_one_folder_the_second_is_refused(made: Made, tmp_path: Path) -> None:
    claim(made, find_ports(2), tmp_path)
    with pytest.raises(ClusterError) as refused:
        claim(made, find_ports(2), tmp_path)
    assert refused.value.problem == "folder_claimed"


async def test_a_claim_ends_with_the_cluster(made: Made, tmp_path: Path) -> None:
    port = find_ports(2)
    claim(made, port, tmp_path)
    await made[0].stop()
    claim(made, port, tmp_path)


def test_a_claim_ends_with_its_process_even_when_that_is_killed(made: Made, tmp_path: Path) -> None:
    port = find_ports(2)
    code = (
        "import sys\nfrom pathlib import Path\nfrom sio_server.local.cluster import LocalCluster\n"
        f"LocalCluster({port}, 2, Path({str(tmp_path)!r})).claim()\nprint('claimed', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"claimed\n"
        with pytest.raises(ClusterError, match="claimed port"):
            claim(made, port, tmp_path)
        other.kill()
    claim(made, port, tmp_path)


def test_a_redis_url_that_cannot_be_read_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"REDIS_URL=redis://\*\*\*@a:1,b:2: several servers are named"):
        LocalCluster(find_ports(1), 1, tmp_path, redis_url="redis://:hunter2@a:1,b:2").claim()


@pytest.mark.parametrize("origin", ["http://127.0.0.1:5173", "*", ""])
def test_a_local_cluster_lets_in_the_origins_that_the_environment_names_beside_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", origin)
    monkeypatch.setenv("FILES_URL", str(tmp_path / "elsewhere"))
    cluster = LocalCluster(19001, 2, tmp_path)
    for name, value in cluster._environment(19001).items():
        monkeypatch.setenv(name, value)
    node = load_settings()
    assert node.allowed_origins == (*cluster.origins, *([origin] if origin else []))
    assert node.files_url == str(tmp_path / "elsewhere")


def test_each_node_of_a_local_cluster_is_one_process_whatever_this_one_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signals are meant for the node, and not for a parent of workers."""
    for name, value in (("WEB_CONCURRENCY", "2"), ("WORKER_PORTS", "9100"), ("NODE_NAME", "web-1")):
        monkeypatch.setenv(name, value)
    cluster = LocalCluster(19001, 2, tmp_path)
    for port in cluster.ports:
        for name, value in cluster._environment(port).items():
            monkeypatch.setenv(name, value)
        node = load_settings()
        assert (node.web_concurrency, node.worker_ports, node.name) == (1, 0, str(port))
