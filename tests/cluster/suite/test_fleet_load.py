"""Replicas follow a simulated load: up when it comes, down when it has gone, and the idle ones go first."""

import time
from collections.abc import Callable

import pytest

from kit.api import Api
from kit.fleet import DOWN, PERIOD, assert_limited_by, assert_replicas, assert_told, gpu_fleet
from kit.load import Listener, Load, Shape
from kit.nodes import Nodes
from kit.operator import Operator
from kit.operators import Operators
from kit.orders import Orders
from kit.waiting import eventually, stays

pytestmark = pytest.mark.timeout(900)


def warm_up(api: Api, namespace: str, load: Load, rate: float) -> None:
    """A small load, until the operator knows how fast a replica works."""
    load.set_rate(rate)

    def known() -> None:
        auto = api.get("WyomingStt", "speech", namespace)["status"]["autoscaling"]
        # Figures alone are told every 30 s; twenty utterances are what is believed.
        assert load.finished() >= 25, load.finished()
        assert auto["desiredReplicas"] >= 1

    eventually("the service rate can be known", known, within=60)
    time.sleep(PERIOD + 1)


def test_a_load_step_is_followed_up_and_down(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    operator: Operator,
    listener: Listener,
    new_load: Callable[..., Load],
    new_orders: Callable[..., Orders],
    record: Callable[..., None],
) -> None:
    nodes = new_nodes(20)
    api.create(gpu_fleet(namespace, nodes, listener.port, minReplicas=2, maxReplicas=20))
    # A replica finishes two in a second.
    load, orders = new_load("speech", Shape(slots=1, service_s=0.5)), new_orders("speech")
    eventually("two replicas are ready", lambda: assert_replicas(api, namespace, 2), within=40)
    warm_up(api, namespace, load, 2)
    assert orders.now() == 2, orders.changes

    step = load.set_rate(10)
    orders.reach(3, 20, within=2 * PERIOD + 2)
    first = orders.since(step)[0]
    # Two looks at the load, and what a busy machine adds.
    assert first[0] <= 2 * PERIOD + 3, orders.since(step)
    # 10 / 2 would be busy all the time; the rest is headroom and the backlog.
    needed = 6
    orders.reach(needed, 12, within=120)
    reached = orders.since(step)[-1][0]

    def drained() -> None:
        assert load.outstanding() < 20, load.outstanding()

    eventually("the backlog is gone", drained, within=120)
    peak = orders.peak(step)
    assert peak <= 2 * needed, f"{peak} were ordered: {orders.since(step)}"

    rest = load.set_rate(0)
    orders.reach(2, within=180)
    story = orders.since(rest)
    # What is more than enough may go at any time.
    early = [replicas for at, replicas in story if at < DOWN["stabilizationSeconds"]]
    assert all(replicas >= needed for replicas in early), f"too early: {story}"
    # Half in a step at most, rounded in favour of the replicas.
    before = [peak] + [replicas for _, replicas in story]
    assert all(after >= was - max(1, was // 2) for was, after in zip(before, before[1:], strict=False)), story
    stays("it stays at the lower bound", lambda: orders.reach(2, within=0), during=PERIOD + 1)
    assert operator.is_running()
    record(
        "Load step from 2 to 10 utterances in a second, 2 per replica",
        first_order_s=first[0],
        first_order_replicas=first[1],
        enough_ordered_s=reached,
        peak_replicas=peak,
        back_at_minimum_s=story[-1][0],
        order_changes=len(orders.since(step)),
    )


def test_idle_replicas_go_first(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    operator: Operator,
    listener: Listener,
    new_load: Callable[..., Load],
    new_orders: Callable[..., Orders],
) -> None:
    nodes = new_nodes(8)
    down = {"stabilizationSeconds": 10, "maxPercentPerStep": 50, "stepSeconds": 5}
    api.create(gpu_fleet(namespace, nodes, listener.port, minReplicas=3, maxReplicas=8, scaleDown=down))
    load, orders = new_load("speech"), new_orders("speech")
    eventually("three replicas are ready", lambda: assert_replicas(api, namespace, 3), within=40)
    old = set(load.ready())
    api.patch("WyomingStt", "speech", namespace, {"spec": {"autoscaling": {"minReplicas": 6}}})
    eventually("six replicas are ready", lambda: assert_replicas(api, namespace, 6), within=40)
    # The ReplicaSet by itself would take the newest: those work.
    busy = set(load.ready()) - old
    assert len(busy) == 3
    for pod in busy:
        load.occupy(pod, 3600)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"autoscaling": {"minReplicas": 1}}})
    orders.reach(3, within=100)
    eventually("three are gone", lambda: _assert_count(load, 3), within=15)
    assert {killed.pod for killed in load.killed} == old, load.killed
    assert [killed.outstanding for killed in load.killed] == [0, 0, 0]
    stays("the busy ones are kept", lambda: orders.reach(3, within=0), during=3 * PERIOD)
    assert set(load.ready()) == busy
    assert operator.is_running()


def _assert_count(load: Load, count: int) -> None:
    assert len(load.ready()) == count, load.ready()


def test_slow_starts_do_not_make_it_order_too_many(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    operator: Operator,
    listener: Listener,
    new_load: Callable[..., Load],
    new_orders: Callable[..., Orders],
    record: Callable[..., None],
) -> None:
    nodes = new_nodes(60)
    delay = 25
    api.create(
        gpu_fleet(
            namespace, nodes, listener.port, delay_s=delay, minReplicas=1, maxReplicas=60, startupSecondsHint=delay
        )
    )
    load, orders = new_load("speech", Shape(slots=1, service_s=0.25)), new_orders("speech")
    eventually("one replica is ready", lambda: assert_replicas(api, namespace, 1), within=60)
    warm_up(api, namespace, load, 3)
    step = load.set_rate(16)
    # Four replicas would be busy all the time.
    needed = 5
    deepest = 0

    def enough() -> None:
        nonlocal deepest
        deepest = max(deepest, load.outstanding())
        assert len(load.ready()) >= needed, f"{len(load.ready())} are ready, {orders.since(step)}"

    eventually("enough replicas are ready", enough, within=150)
    by_queue_alone = deepest
    peak = orders.peak(step)
    record(
        f"Load step from 3 to 16 utterances in a second, 4 per replica, {delay} s to start",
        needed_replicas=needed,
        peak_replicas=peak,
        peak_by_queue_alone=f"{min(by_queue_alone, 60)} (of 60 allowed; {by_queue_alone} wait or run)",
        enough_ready_s=round(time.monotonic() - step, 1),
    )
    # Otherwise nothing was tested.
    assert by_queue_alone > 6 * needed, by_queue_alone
    assert peak <= 2 * needed + 1, f"{peak} were ordered: {orders.since(step)}"
    assert operator.is_running()


def test_silent_replicas_are_never_a_reason_to_go_down(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    operator: Operator,
    listener: Listener,
    new_load: Callable[..., Load],
    new_orders: Callable[..., Orders],
) -> None:
    nodes = new_nodes(6)
    down = {"stabilizationSeconds": 5, "maxPercentPerStep": 100, "stepSeconds": 1}
    api.create(gpu_fleet(namespace, nodes, listener.port, minReplicas=4, maxReplicas=6, scaleDown=down))
    load, orders = new_load("speech"), new_orders("speech")
    eventually("four replicas are ready", lambda: assert_replicas(api, namespace, 4), within=40)
    load.silence(set(load.ready()[:2]))
    # What was told is believed for three rounds.
    time.sleep(3 * PERIOD + 2)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"autoscaling": {"minReplicas": 1}}})
    eventually(
        "the silence is told",
        lambda: assert_told(api, namespace, "AutoscalingActive", "False", "MetricsStale"),
        within=20,
    )
    assert_limited_by(api, namespace, "MetricsUnavailable")
    stays("nothing goes while some are silent", lambda: orders.reach(4, within=0), during=4 * PERIOD)
    load.silence(set())
    orders.reach(1, within=100)
    eventually(
        "all is well again", lambda: assert_told(api, namespace, "AutoscalingActive", "True", "Active"), within=20
    )
    assert operator.is_running()


def test_a_restarted_operator_waits_a_window_before_it_goes_down(
    api: Api,
    namespace: str,
    new_nodes: Callable[..., Nodes],
    operators: Operators,
    listener: Listener,
    new_load: Callable[..., Load],
    new_orders: Callable[..., Orders],
    record: Callable[..., None],
) -> None:
    window = 20
    nodes = new_nodes(10)
    down = {"stabilizationSeconds": window, "maxPercentPerStep": 100, "stepSeconds": 1}
    api.create(gpu_fleet(namespace, nodes, listener.port, minReplicas=1, maxReplicas=10, scaleDown=down))
    first = operators.start(namespace, identity="first").lead()
    load, orders = new_load("speech", Shape(slots=1, service_s=1)), new_orders("speech")
    eventually("one replica is ready", lambda: assert_replicas(api, namespace, 1), within=40)
    load.set_rate(4)
    orders.reach(4, 10, within=120)
    eventually("they are ready", lambda: assert_replicas(api, namespace, orders.now()), within=30)
    before = orders.now()
    load.set_rate(0)
    first.kill()
    second = operators.start(namespace, identity="second").lead(within=25)
    begun = time.monotonic()
    orders.reach(1, within=180)
    story = orders.since(begun)
    assert all(at >= window for at, replicas in story if replicas < before), story
    assert second.is_running()
    record("Scale-down after a restart of the operator", window_s=window, first_down_s=story[0][0])
