"""Two operators, one writer: takeover by goodbye, by death, and by silence."""

import signal
import time
from collections.abc import Callable

from kit.api import Api
from kit.audit import Audit, Request
from kit.objects import MANAGER, stt
from kit.operator import Operator
from kit.operators import Operators
from kit.waiting import eventually

# A leader that shows no sign for 15 s is given up; the others look every 2 s, and a look takes up to 2 s.
SILENCE = 15
GRACE = 5


def two(operators: Operators, namespace: str) -> tuple[Operator, Operator]:
    """A leader, and one that waits."""
    first = operators.start(namespace, identity="first").lead()
    second = operators.start(namespace, identity="second")
    eventually("the second is up", lambda: second.page("/ready"), within=10)
    return first, second


def holder(api: Api, namespace: str) -> str:
    """Who holds the lease."""
    return api.get("Lease", MANAGER, namespace)["spec"]["holderIdentity"]


def assert_scaled(api: Api, namespace: str, replicas: int) -> None:
    """Whether somebody acted on the object."""
    deployment = api.get("Deployment", "speech", namespace)
    assert deployment["spec"]["replicas"] == replicas, deployment["spec"]["replicas"]


def writes_by_process(log: Audit, user: str) -> list[list[Request]]:
    """Writes of each process, told apart by its token, in the order of their first ones."""
    found: dict[str, list[Request]] = {}
    for request in sorted(log.writes(user), key=lambda request: request.at):
        found.setdefault(request.credential, []).append(request)
    assert "" not in found, "the server does not tell tokens apart"
    return list(found.values())


def assert_one_after_the_other(log: Audit, user: str) -> None:
    """No process wrote after the next one had begun to."""
    first, second = writes_by_process(log, user)
    # 504: the process fell asleep while it sent the request, which the server gave up, unseen, half a minute later.
    late = [request for request in first if request.at >= second[0].at and request.code != 504]
    assert not late, f"two writers: {late[0]} after {second[0]}"


def test_a_goodbye_hands_over_at_once(
    api: Api, namespace: str, operators: Operators, user: str, audit: Callable[[], Audit], record: Callable[..., None]
) -> None:
    log = audit()
    first, second = two(operators, namespace)
    api.create(stt(namespace, replicas=0))
    eventually("the first acts", lambda: assert_scaled(api, namespace, 0), within=10)
    assert holder(api, namespace) == "first"
    begun = time.monotonic()
    assert first.end() == 0
    ended = time.monotonic() - begun
    api.patch("WyomingStt", "speech", namespace, {"spec": {"podTemplate": {"metadata": {"labels": {"a": "b"}}}}})
    second.lead(within=GRACE)
    assert holder(api, namespace) == "second"
    taken = time.monotonic() - begun
    assert taken < SILENCE, f"{taken} s: as long as without a goodbye"

    def acted() -> None:
        template = api.get("Deployment", "speech", namespace)["spec"]["template"]
        assert template["metadata"]["labels"].get("a") == "b"

    eventually("the second acts", acted, within=10)
    assert_one_after_the_other(log, user)
    record("Takeover after SIGTERM", ended_s=round(ended, 1), taken_over_s=round(taken, 1))


def test_a_killed_leader_is_replaced(
    api: Api, namespace: str, operators: Operators, user: str, audit: Callable[[], Audit], record: Callable[..., None]
) -> None:
    log = audit()
    first, second = two(operators, namespace)
    api.create(stt(namespace, replicas=0))
    eventually("the first acts", lambda: assert_scaled(api, namespace, 0), within=10)
    first.kill()
    begun = time.monotonic()
    api.patch("WyomingStt", "speech", namespace, {"spec": {"replicas": 1}})
    second.lead(within=SILENCE + GRACE)
    taken = time.monotonic() - begun
    assert SILENCE / 2 < taken < 2 * (SILENCE + GRACE), f"{taken} s"
    eventually("the second acts", lambda: assert_scaled(api, namespace, 1), within=10)
    assert api.get("Lease", MANAGER, namespace)["spec"]["leaseTransitions"] >= 1
    assert_one_after_the_other(log, user)
    record("Takeover after SIGKILL", taken_over_s=round(taken, 1))


def test_a_leader_that_was_asleep_writes_no_more(
    api: Api, namespace: str, operators: Operators, user: str, audit: Callable[[], Audit]
) -> None:
    log = audit()
    first, second = two(operators, namespace)
    # With autoscaling there is something to do every few seconds.
    api.create(stt(namespace, autoscaling={"maxReplicas": 3}))
    eventually("the first acts", lambda: assert_scaled(api, namespace, 1), within=10)
    first.signal(signal.SIGSTOP)
    second.lead(within=SILENCE + GRACE)
    # The first will hear of both as soon as it wakes.
    api.patch("Service", "speech", namespace, {"spec": {"selector": {"team": "other"}}})
    api.patch("WyomingStt", "speech", namespace, {"spec": {"service": {"port": 10400}}})

    def acted() -> None:
        spec = api.get("Service", "speech", namespace)["spec"]
        assert spec["ports"][0]["port"] == 10400 and "team" not in spec["selector"], spec

    eventually("the second acts", acted, within=10)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"service": {"port": 10500}}})
    first.signal(signal.SIGCONT)
    assert first.wait(15) != 0, "it did not tell that it lost the lease"
    assert first.messages("lease"), first.tail()
    assert holder(api, namespace) == "second"
    assert_one_after_the_other(log, user)
    assert second.is_running()


def test_a_leader_without_the_server_stops_before_others_start(api: Api, namespace: str, operators: Operators) -> None:
    operator = operators.start(namespace).lead()
    # The lease in another's hands is the same as a lease that was lost on the way.
    begun = time.monotonic()
    api.patch("Lease", MANAGER, namespace, {"spec": {"holderIdentity": "other"}})
    assert operator.wait(SILENCE) != 0
    assert time.monotonic() - begun < SILENCE, "others may write by now"
    assert api.get("Lease", MANAGER, namespace)["spec"]["holderIdentity"] == "other", "it took the lease back"
