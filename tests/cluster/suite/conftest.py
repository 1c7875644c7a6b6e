"""What tests ask for. Each has a namespace, an operator and fake nodes of its own, and leaves nothing behind."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.register_assert_rewrite("kit")

from kit import figures  # noqa: E402
from kit.api import Api  # noqa: E402
from kit.audit import Audit  # noqa: E402
from kit.cluster import ROOT, Cluster  # noqa: E402
from kit.fleet import NAME, Fleet, gpu_fleet  # noqa: E402
from kit.load import Listener, Load, Shape  # noqa: E402
from kit.nodes import Nodes  # noqa: E402
from kit.objects import MANAGER  # noqa: E402
from kit.operator import Operator  # noqa: E402
from kit.operators import Operators  # noqa: E402
from kit.orders import Orders  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Charts and images are installed for the whole cluster, so their tests run alone."""
    for item in items:
        if item.path.name.startswith(("test_chart", "test_node")):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster, with the definition of WyomingStt."""
    found = Cluster.around()
    found.install_definition()
    return found


@pytest.fixture(scope="session")
def api(cluster: Cluster) -> Api:
    """The API server, as its administrator."""
    return cluster.api


@pytest.fixture
def new_namespace(api: Api) -> Iterator[Callable[..., str]]:
    """Makes namespaces, in which Pod Security `restricted` is enforced; they go with the test."""
    made: list[str] = []

    def make(labels: dict[str, str] | None = None) -> str:
        name = f"test-{uuid.uuid4().hex[:8]}"
        enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": {**enforced, **(labels or {})}}
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        made.append(name)
        return name

    yield make
    for name in made:
        api.delete("Namespace", name)
        # Or they would stay until the end of their grace period.
        api.delete_all("Pod", name, grace_s=0)


@pytest.fixture
def namespace(new_namespace: Callable[..., str]) -> str:
    """A namespace."""
    return new_namespace()


@pytest.fixture(scope="session")
def binary() -> Path:
    """The operator's program."""
    path = Path(os.environ.get("STT_OPERATOR", ROOT / "target/debug/wyoming-stt-operator"))
    assert path.exists(), f"{path} is not there: cargo build -p operator"
    return path


@pytest.fixture
def operators(cluster: Cluster, binary: Path, tmp_path: Path) -> Iterator[Operators]:
    """For tests that start operators themselves."""
    started = Operators(cluster, binary, tmp_path)
    yield started
    started.end()


@pytest.fixture
def operator(operators: Operators, namespace: str) -> Operator:
    """An operator that leads in the test's namespace."""
    return operators.start(namespace).lead()


@pytest.fixture
def user(namespace: str) -> str:
    """As whom the operator of the test's namespace is known to the API server."""
    return f"system:serviceaccount:{namespace}:{MANAGER}"


@pytest.fixture
def audit(cluster: Cluster) -> Callable[[], Audit]:
    """Starts to read the API server's log from here on."""
    return lambda: Audit(cluster.audit_log)


@pytest.fixture
def new_nodes(api: Api) -> Iterator[Callable[..., Nodes]]:
    """Makes pools of fake nodes."""
    pools: list[Nodes] = []

    def make(count: int, *, gpus: int = 1) -> Nodes:
        pools.append(Nodes(api, count, gpus=gpus))
        return pools[-1]

    yield make
    for pool in pools:
        pool.remove()


@pytest.fixture
def nodes(new_nodes: Callable[..., Nodes]) -> Nodes:
    """Two fake nodes without GPUs."""
    return new_nodes(2, gpus=0)


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """Answers for the load of all fake pods."""
    listening = Listener()
    yield listening
    listening.close()


@pytest.fixture
def new_load(api: Api, namespace: str, listener: Listener) -> Iterator[Callable[..., Load]]:
    """Makes load for an object of the test's namespace."""
    started: list[Load] = []

    def make(name: str | None, shape: Shape | None = None) -> Load:
        load = Load(api, namespace, name, shape or Shape())
        listener.loads.append(load)
        started.append(load)
        return load.start()

    yield make
    for load in started:
        load.stop()
        listener.loads.remove(load)


@pytest.fixture
def new_orders(api: Api, namespace: str) -> Iterator[Callable[..., Orders]]:
    """Follows what is ordered for an object of the test's namespace."""
    started: list[Orders] = []

    def make(name: str) -> Orders:
        started.append(Orders(api, namespace, name))
        return started[-1]

    yield make
    for orders in started:
        orders.stop()


@pytest.fixture
def new_fleet(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    listener: Listener,
    new_load: Callable[..., Load],
    new_orders: Callable[..., Orders],
) -> Callable[..., Fleet]:
    """Makes an endpoint that scales over so many GPU nodes: `new_fleet(20, shape, minReplicas=1, …)`."""

    def make(count: int, shape: Shape | None = None, *, delay_s: float = 0, **autoscaling: Any) -> Fleet:
        nodes = new_nodes(count)
        api.create(gpu_fleet(namespace, nodes, listener.port, delay_s=delay_s, **autoscaling))
        return Fleet(api, namespace, nodes, new_load(NAME, shape), new_orders(NAME))

    return make


@pytest.fixture
def record(cluster: Cluster) -> Callable[..., None]:
    """Keeps measured figures: `record("title", name=value)`."""
    folder = Path(os.environ.get("STT_CLUSTER_FIGURES", ROOT / "target/cluster-figures")) / cluster.version()
    return lambda title, **values: figures.write(folder, title, values)
