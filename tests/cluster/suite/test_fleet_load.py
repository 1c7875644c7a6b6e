"""Replicas follow a simulated load: up when it comes, down when it has gone, and the idle ones go first."""

import time
from collections.abc import Callable

import pytest

from kit.fleet import DOWN, PERIOD, Fleet
from kit.load import Load, Shape
from kit.operator import Operator
from kit.operators import Operators
from kit.waiting import eventually, stays

pytestmark = pytest.mark.timeout(900)


def warm_up(fleet: Fleet, rate: float) -> None:
    """A small load, until the operator knows how fast a replica works."""
    fleet.load.set_rate(rate)

    def known() -> None:
        # Figures alone are told every 30 s; twenty utterances are what is believed.
        assert fleet.load.finished() >= 25, fleet.load.finished()
        assert fleet.status()["autoscaling"]["desiredReplicas"] >= 1

    eventually("the service rate can be known", known, within=60)
    time.sleep(PERIOD + 1)


def test_a_load_step_is_followed_up_and_down(
    operator: Operator, new_fleet: Callable[..., Fleet], record: Callable[..., None]
) -> None:
    # A replica finishes two in a second.
    fleet = new_fleet(20, Shape(slots=1, service_s=0.5), minReplicas=2, maxReplicas=20)
    load, orders = fleet.load, fleet.orders
    fleet.becomes_ready(2)
    warm_up(fleet, 2)
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


def test_idle_replicas_go_first(operator: Operator, new_fleet: Callable[..., Fleet]) -> None:
    down = {"stabilizationSeconds": 10, "maxPercentPerStep": 50, "stepSeconds": 5}
    fleet = new_fleet(8, minReplicas=3, maxReplicas=8, scaleDown=down)
    load, orders = fleet.load, fleet.orders
    fleet.becomes_ready(3)
    old = set(load.ready())
    fleet.set_minimum(6)
    fleet.becomes_ready(6)
    # The ReplicaSet by itself would take the newest: those work.
    busy = set(load.ready()) - old
    assert len(busy) == 3
    for pod in busy:
        load.occupy(pod, 3600)
    fleet.set_minimum(1)
    orders.reach(3, within=100)
    eventually("three are gone", lambda: _assert_count(load, 3), within=25)
    assert {killed.pod for killed in load.killed} == old, load.killed
    assert [killed.outstanding for killed in load.killed] == [0, 0, 0]
    stays("the busy ones are kept", lambda: orders.reach(3, within=0), during=3 * PERIOD)
    assert set(load.ready()) == busy
    assert operator.is_running()


def _assert_count(load: Load, count: int) -> None:
    assert len(load.ready()) == count, load.ready()


def test_slow_starts_do_not_make_it_order_too_many(
    operator: Operator, new_fleet: Callable[..., Fleet], record: Callable[..., None]
) -> None:
    delay = 25
    bounds = {"minReplicas": 1, "maxReplicas": 60}
    fleet = new_fleet(60, Shape(slots=1, service_s=0.25), delay_s=delay, startupSecondsHint=delay, **bounds)
    load, orders = fleet.load, fleet.orders
    fleet.becomes_ready(1, within=60)
    warm_up(fleet, 3)
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


def test_silent_replicas_are_never_a_reason_to_go_down(operator: Operator, new_fleet: Callable[..., Fleet]) -> None:
    down = {"stabilizationSeconds": 5, "maxPercentPerStep": 100, "stepSeconds": 1}
    fleet = new_fleet(6, minReplicas=4, maxReplicas=6, scaleDown=down)
    load, orders = fleet.load, fleet.orders
    fleet.becomes_ready(4)
    load.silence(set(load.ready()[:2]))
    # What was told is believed for three rounds.
    time.sleep(3 * PERIOD + 2)
    fleet.set_minimum(1)
    eventually(
        "the silence is told",
        lambda: fleet.assert_told("AutoscalingActive", "False", "MetricsStale"),
        within=20,
    )
    eventually("it is what limits it", lambda: fleet.assert_limited_by("MetricsUnavailable"), within=40)
    stays("nothing goes while some are silent", lambda: orders.reach(4, within=0), during=4 * PERIOD)
    load.silence(set())
    orders.reach(1, within=100)
    eventually("all is well again", lambda: fleet.assert_told("AutoscalingActive", "True", "Active"), within=20)
    assert operator.is_running()


def test_a_restarted_operator_waits_a_window_before_it_goes_down(
    namespace: str, operators: Operators, new_fleet: Callable[..., Fleet], record: Callable[..., None]
) -> None:
    window = 20
    down = {"stabilizationSeconds": window, "maxPercentPerStep": 100, "stepSeconds": 1}
    fleet = new_fleet(10, Shape(slots=1, service_s=1), minReplicas=1, maxReplicas=10, scaleDown=down)
    load, orders = fleet.load, fleet.orders
    first = operators.start(namespace, identity="first").lead()
    fleet.becomes_ready(1)
    load.set_rate(4)
    orders.reach(4, 10, within=120)
    eventually("they are ready", lambda: _assert_count(load, orders.now()), within=30)
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
