"""When a changed pod template is rolled out."""

from collections.abc import Callable

from kit.api import Api
from kit.load import Listener, Load
from kit.nodes import Nodes
from kit.objects import env, stt
from kit.operator import Operator
from kit.waiting import eventually, stays


def test_a_changed_template_waits_until_no_utterance_runs(
    api: Api,
    namespace: str,
    nodes: Nodes,
    operator: Operator,
    listener: Listener,
    new_load: Callable[..., Load],
) -> None:
    load = new_load("speech")
    rollout = {"waitForIdleSeconds": 300}
    api.create(stt(namespace, rollout=rollout, telemetry={"adminPort": listener.port}, **nodes.placement()))
    eventually("a replica is ready", lambda: _assert_one(load), within=40)
    (pod,) = load.ready()
    load.occupy(pod, 3600)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"decoding": {"beamSize": 4}}})

    def waits() -> None:
        status = api.get("WyomingStt", "speech", namespace)["status"]
        (progressing,) = [each for each in status["conditions"] if each["type"] == "Progressing"]
        assert (progressing["status"], progressing["reason"]) == ("True", "RolloutWaitsForIdle"), progressing
        assert "latest" in progressing["message"], progressing
        assert status["rolloutWaitingSince"], status

    eventually("it is told that it waits", waits, within=10)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"replicas": 2}})

    def scaled() -> None:
        assert len(load.ready()) == 2, load.ready()
        beams = _beam_sizes(api, namespace)
        assert beams == {"0"}, beams

    eventually("the number of replicas does not wait", scaled, within=15)
    stays("the old pods serve", scaled, during=2)
    waits()
    load.finish(pod)

    def rolled_out() -> None:
        status = api.get("WyomingStt", "speech", namespace)["status"]
        assert "rolloutWaitingSince" not in status, status["conditions"]
        beams = _beam_sizes(api, namespace)
        assert beams == {"4"}, beams

    eventually("it is rolled out when the utterance is over", rolled_out, within=30)
    assert not any(killed.outstanding for killed in load.killed), load.killed
    assert operator.is_running()


def _assert_one(load: Load) -> None:
    assert len(load.ready()) == 1, load.ready()


def _beam_sizes(api: Api, namespace: str) -> set[str]:
    """Of pods that are not being deleted, which takes as long as they may take to end."""
    pods = [pod for pod in api.list("Pod", namespace) if "deletionTimestamp" not in pod["metadata"]]
    return {env(pod)["STT_BEAM_SIZE"] for pod in pods}
