"""A thousand objects: all settled, quickly enough, in little memory, and then at rest."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.api import Api, Object
from kit.audit import Audit, tally
from kit.objects import condition, stt
from kit.operators import Operators
from kit.waiting import eventually

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]
OBJECTS = 1000
# What the operator's memory is to stay under with so many objects.
MEMORY_KIB = 64 * 1024
REST = 20


@pytest.fixture
def at_once() -> Iterator[ThreadPoolExecutor]:
    """A few requests at once."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def names(api: Api, namespace: str) -> Iterator[list[str]]:
    """What the objects are called. They are gone before the next test: one that deletes the definition waits for all."""
    yield [f"speech-{index:04}" for index in range(OBJECTS)]

    def gone() -> None:
        # So many take longer than a request may; each goes on where the one before was.
        api.delete_all("WyomingStt", namespace, grace_s=0)
        assert api.list("WyomingStt", namespace) == []

    eventually("all are gone", gone, within=120, every=2)


def test_a_thousand_objects(
    api: Api,
    namespace: str,
    names: list[str],
    operators: Operators,
    at_once: ThreadPoolExecutor,
    audit: Callable[[], Audit],
    record: Callable[..., None],
) -> None:
    user = operators.permit(namespace, everywhere=True)
    operator = operators.start(namespace, everywhere=True).lead()
    empty = operator.memory_kib()
    begun = time.monotonic()
    # No replicas: what is measured is the operator, and pods would measure the rest of the cluster.
    list(at_once.map(lambda name: api.create(stt(namespace, name, replicas=0)), names))
    created = time.monotonic() - begun

    def settled() -> None:
        if not operator.is_running():
            pytest.fail(f"the operator ended: {operator.tail()}")
        objects = api.list("WyomingStt", namespace)
        done = [each for each in objects if is_settled(each)]
        assert len(done) == OBJECTS, f"{len(done)} of {OBJECTS}"

    # Seldom: to list a thousand objects is work for the server, too.
    eventually("all are settled", settled, within=150, every=4)
    took = time.monotonic() - begun
    first = operator.reconciles()
    log = audit()
    time.sleep(REST)
    resting = log.requests(user)
    writes = [request for request in resting if request.is_write]
    assert tally(writes) == {}, "written at rest"

    # One round over all of them, with nothing to do.
    before = operator.reconciles()
    change = {"metadata": {"annotations": {"example.org/poked": "1"}}}
    list(at_once.map(lambda name: api.patch("WyomingStt", name, namespace, change), names))

    def looked() -> None:
        assert operator.reconciles().since(before).count >= OBJECTS

    eventually("all are looked at again", looked, within=30, every=0.5)
    again = operator.reconciles().since(before)
    assert tally(log.writes(user)) == {}, "written by a second look"
    memory = operator.memory_kib()
    record(
        "1,000 objects",
        created_s=round(created, 1),
        settled_s=round(took, 1),
        first_reconcile_p50_ms=milliseconds(first.quantile(0.5)),
        first_reconcile_p99_ms=milliseconds(first.quantile(0.99)),
        second_reconcile_p50_ms=milliseconds(again.quantile(0.5)),
        second_reconcile_p99_ms=milliseconds(again.quantile(0.99)),
        reconciles=first.count,
        writes_per_minute_at_rest=len(writes) * 60 / REST,
        requests_per_minute_at_rest=sum(not request.is_lease for request in resting) * 60 / REST,
        memory_anonymous_mib=round(memory["RssAnon"] / 1024, 1),
        memory_resident_mib=round(memory["VmRSS"] / 1024, 1),
        memory_peak_mib=round(memory["VmHWM"] / 1024, 1),
        memory_anonymous_before_mib=round(empty["RssAnon"] / 1024, 1),
        binary=operator.binary.parent.name,
    )
    # The part that no file backs: a debug build's program alone is larger than the rest.
    assert memory["RssAnon"] < MEMORY_KIB, memory
    assert again.quantile(0.99) < 2.5, again


def is_settled(each: Object) -> bool:
    """Whether the operator has done all that it can do for an object without replicas."""
    is_current = each.get("status", {}).get("observedGeneration") == each["metadata"]["generation"]
    return is_current and condition(each, "Progressing")["reason"] == "Settled"


def milliseconds(seconds: float) -> float:
    """For people."""
    return round(seconds * 1000, 1)
