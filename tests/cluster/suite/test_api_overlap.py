"""Releases that watch the same objects: one of them writes, whatever they are called and wherever they are."""

from collections.abc import Callable

import pytest

from kit.api import Api
from kit.audit import Audit
from kit.objects import MANAGER, stt
from kit.operator import Operator
from kit.operators import Operators
from kit.waiting import eventually

WAITS = "another operator looks after these objects"
CLUSTER = f"{MANAGER}-cluster"
# A holder that shows no sign for 15 s is given up, and looked at every 2 s.
TAKEOVER = 20


def assert_written(api: Api, namespace: str, lease: str, replicas: int = 0) -> None:
    """Whether the holder of `lease` wrote the object as it is declared now."""
    found = api.get("WyomingStt", "speech", namespace)
    status = found.get("status", {})
    assert status.get("operator") == lease, status.get("operator")
    assert status["observedGeneration"] == found["metadata"]["generation"]
    assert api.get("Deployment", "speech", namespace)["spec"]["replicas"] == replicas


def assert_says(operator: Operator, text: str, about: str) -> None:
    """Whether it logged `text` about somebody."""
    assert any(about in str(line) for line in operator.messages(text)), operator.tail()


def test_of_two_releases_that_share_a_namespace_one_writes_there(
    api: Api, namespace: str, new_namespace: Callable[..., str], operators: Operators, audit: Callable[[], Audit]
) -> None:
    home, team = namespace, new_namespace()
    first = operators.start(home, identity="first").lead()
    log = audit()
    user = operators.permit(team, watch=(home, team))
    second = operators.start(team, watch=(home, team), identity="second")
    api.create(stt(home, replicas=0))
    api.create(stt(team, replicas=0))
    eventually("the first writes", lambda: assert_written(api, home, f"{home}/{MANAGER}"), within=10)
    eventually("what the second has for itself works", lambda: assert_written(api, team, f"{team}/{MANAGER}"), within=10)
    eventually("the second says for whom it waits", lambda: assert_says(second, WAITS, "first"), within=5)
    assert api.get("Lease", MANAGER, home)["spec"]["holderIdentity"] == "first"
    assert not [request for request in log.writes(user) if request.namespace == home], "two writers"
    first.kill()
    api.patch("WyomingStt", "speech", home, {"spec": {"replicas": 1}})

    def taken_over() -> None:
        assert_written(api, home, f"{home}/{MANAGER}", replicas=1)

    eventually("the second takes over", taken_over, within=TAKEOVER)
    assert api.get("Lease", MANAGER, home)["spec"]["holderIdentity"] == "second"


@pytest.mark.alone
def test_an_operator_of_the_cluster_leaves_a_namespace_to_its_own_one(
    api: Api, namespace: str, new_namespace: Callable[..., str], operators: Operators, audit: Callable[[], Audit]
) -> None:
    team, third = new_namespace(), new_namespace()
    user = operators.permit(namespace, everywhere=True)
    everywhere = operators.start(namespace, everywhere=True, identity="everywhere").lead()
    another = operators.start(third, everywhere=True, identity="another")
    api.create(stt(team, replicas=0))
    eventually("it is written", lambda: assert_written(api, team, f"{namespace}/{CLUSTER}"), within=10)
    operators.start(team, identity="own").lead()
    eventually("its own one has it", lambda: assert_written(api, team, f"{team}/{MANAGER}"), within=20)

    def left() -> None:
        assert "stt_operator_objects_left 1" in everywhere.page("/metrics").splitlines()

    eventually("the other one says so", left, within=15)
    events = [event for event in api.list("Event", team) if event["reason"] == "LeftToOther"]
    assert len(events) == 1, events
    log = audit()
    api.patch("WyomingStt", "speech", team, {"spec": {"podTemplate": {"metadata": {"labels": {"a": "b"}}}}})
    eventually("a change is seen", lambda: assert_written(api, team, f"{team}/{MANAGER}"), within=10)
    writes = [request for request in log.writes(user) if request.namespace == team]
    assert not writes, f"two writers: {writes[0]}"
    # Of two of the whole cluster one waits.
    assert_says(another, WAITS, "everywhere")
    assert not another.messages("leading")
