"""Two hundred GPU nodes: too few for what is wanted, lost by the dozen, and full of endpoints at rest."""

import time
from collections.abc import Callable

import pytest

from kit.api import Api
from kit.audit import Audit, tally
from kit.fleet import PERIOD, Fleet, gpu_fleet
from kit.load import Listener, Load, Shape
from kit.nodes import Nodes
from kit.objects import assert_condition
from kit.operator import Operator
from kit.operators import Operators
from kit.waiting import eventually, stays

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]
NODES = 200


def test_more_is_wanted_than_there_are_gpus(
    operator: Operator, new_fleet: Callable[..., Fleet], record: Callable[..., None]
) -> None:
    wanted = NODES + 50
    bounds = {"minReplicas": 150, "maxReplicas": wanted, "maxPendingReplicas": 1}
    fleet = new_fleet(NODES, Shape(slots=1, service_s=1), **bounds)
    load, orders = fleet.load, fleet.orders
    begun = time.monotonic()
    fleet.becomes_ready(150, within=90)
    started = time.monotonic() - begun
    # A backlog for every replica that is allowed, and no end of it.
    step = load.set_rate(2 * wanted)
    orders.reach(wanted, within=60)

    def unschedulable() -> None:
        assert fleet.status()["unschedulableReplicas"] == 50, fleet.status()["unschedulableReplicas"]
        fleet.assert_told("CapacityLimited", "True", "PodsUnschedulable")

    eventually("fifty fit on no node, and it says so", unschedulable, within=40)
    crowded = time.monotonic()
    # One stays pending, so that a cluster autoscaler sees that more is wanted. How long a node takes here is not known.
    orders.reach(NODES + 1, within=240)
    capped = time.monotonic() - crowded
    # What limits an order is a figure of the status, and figures are written every thirty seconds.
    eventually("it says what limits it", lambda: fleet.assert_limited_by("Capacity"), within=40)
    stays("it is not ordered again", lambda: orders.reach(NODES + 1, within=0), during=4 * PERIOD)
    assert load.killed == [] or all(not killed.was_ready for killed in load.killed), "a working replica was taken away"
    assert len(load.ready()) == NODES
    # New nodes are used.
    fleet.nodes.add(10)
    orders.reach(NODES + 11, wanted, within=90)
    record(
        f"{wanted} replicas wanted, {NODES} GPUs",
        first_150_ready_s=round(started, 1),
        ordered_at_most=orders.peak(step),
        capped_after_s=round(capped, 1),
        capped_at=NODES + 1,
    )
    assert operator.is_running()


def test_three_of_ten_nodes_are_lost(
    api: Api,
    namespace: str,
    operator: Operator,
    new_fleet: Callable[..., Fleet],
    record: Callable[..., None],
) -> None:
    fleet = new_fleet(NODES, Shape(slots=1, service_s=1), minReplicas=10, maxReplicas=150)
    nodes, load, orders = fleet.nodes, fleet.load, fleet.orders
    replicas = 100
    fleet.becomes_ready(10)
    fleet.set_minimum(replicas)
    fleet.becomes_ready(replicas, within=60)
    # Half busy: what is left can carry it.
    load.set_rate(replicas / 2)
    time.sleep(2 * PERIOD)
    before = orders.now()
    used = {pod["spec"]["nodeName"] for pod in api.list("Pod", namespace)}
    lost = [name for name in nodes.names if name in used][: NODES * 3 // 10]
    on_lost = {pod["metadata"]["name"] for pod in api.list("Pod", namespace) if pod["spec"]["nodeName"] in lost}
    # First nobody hears from them, then the cluster takes them away.
    load.silence(on_lost)
    stays("silence changes nothing", lambda: orders.reach(before, before + 50, within=0), during=2 * PERIOD)
    failed = time.monotonic()
    nodes.fail(lost)

    def replaced() -> None:
        assert len(load.ready()) >= before, f"{len(load.ready())} of {before} are ready"
        assert not set(load.ready()) & on_lost

    eventually("all lost replicas are replaced", replaced, within=90)
    took = time.monotonic() - failed
    assert min(replicas for _, replicas in orders.since(failed - 2 * PERIOD) or [(0, before)]) >= before, orders.changes
    assert orders.peak(failed) <= before + 50, orders.since(failed)
    others = [killed for killed in load.killed if killed.pod not in on_lost]
    assert not others, f"replicas on good nodes were taken away: {others[:3]}"
    record(f"{len(lost)} of {NODES} nodes lost, {len(on_lost)} of {before} replicas on them", replaced_s=round(took, 1))
    assert operator.is_running()


def test_a_hundred_endpoints_at_rest_are_left_alone(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    operators: Operators,
    listener: Listener,
    new_load: Callable[..., Load],
    audit: Callable[[], Audit],
    record: Callable[..., None],
) -> None:
    nodes = new_nodes(NODES)
    user = operators.permit(namespace, everywhere=True)
    operator = operators.start(namespace, everywhere=True).lead()
    new_load(None)
    names = [f"speech-{index:02}" for index in range(100)]
    for name in names:
        made = gpu_fleet(namespace, nodes, listener.port, minReplicas=2, maxReplicas=4)
        made["metadata"]["name"] = name
        api.create(made)

    def settled() -> None:
        found = api.list("WyomingStt", namespace)
        ready = [each for each in found if each.get("status", {}).get("readyReplicas") == 2]
        assert len(ready) == len(names), f"{len(ready)} of {len(names)}"
        for each in found:
            assert_condition(each, "Ready", "True", "Reconciled")

    eventually("all are ready", settled, within=120, every=0.5)
    # Startup times and rates are figures, which may be told once more.
    time.sleep(35)
    log, before = audit(), operator.scalings()
    rest = 30
    time.sleep(rest)
    requests, rounds = log.requests(user), operator.scalings().since(before)
    writes = [request for request in requests if request.is_write]
    reads = [request for request in requests if not request.is_write and not request.is_lease]
    memory = operator.memory_kib()
    record(
        "100 endpoints with autoscaling, 200 replicas, at rest",
        writes_per_minute=len(writes) * 60 / rest,
        reads_per_minute=len(reads) * 60 / rest,
        decisions_per_minute=round(rounds.count * 60 / rest),
        decision_p50_ms=round(rounds.quantile(0.5) * 1000, 1),
        decision_p99_ms=round(rounds.quantile(0.99) * 1000, 1),
        memory_anonymous_mib=round(memory["RssAnon"] / 1024, 1),
    )
    assert tally(writes) == {}, "written at rest"
    # The load of each is asked for once in a period, or nothing was tested.
    assert rounds.count >= 0.8 * len(names) * rest / PERIOD, rounds.count
