"""On a real node: the operator in a pod, installed by helm with its own role; servers in pods; spoken words.

All of it stands in one namespace that enforces Pod Security `restricted`.
"""

import re
import time
from collections.abc import Callable, Iterator

import pytest

from kit.api import Api, Object, Refused
from kit.cluster import Cluster
from kit.objects import condition, instance_labels, is_pod_ready, stt
from kit.waiting import eventually, stays
from node.api_client import transcribe
from node.chart import Release, runtime
from node.names import address_of
from node.talk import OFFICE, Crowd, say
from node.timeline import timeline

NAMESPACE = "speech"
# Small enough that four replicas fit on two cores beside the cluster, one of them while another is replaced.
SMALL = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
DEFINITION = "wyomingstts.wyoming-stt.dev"


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """The cluster as it is: here the chart brings the definition."""
    return Cluster.around()


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Api:
    """The API server, as its administrator."""
    return cluster.api


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Release]:
    """The chart, installed with its defaults."""
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enforced}})
    installed = Release(cluster, "wyoming-stt", NAMESPACE)
    installed.install()
    yield installed
    installed.uninstall()
    cluster.api.delete("CustomResourceDefinition", DEFINITION)
    cluster.api.delete("Namespace", NAMESPACE)


@pytest.fixture
def endpoint(release: Release, api: Api) -> Iterator[Callable[..., Object]]:
    """Makes endpoints, waits until they are ready, and deletes them with the test; their pods may go on for a while."""
    names: list[str] = []

    def make(name: str, **spec: object) -> Object:
        names.append(name)
        # What is tested is the path of an utterance, not the model: a short window and one thread are enough.
        small = {"resources": SMALL, "device": {"cpuThreads": 1}, "decoding": {"audioContext": "Dynamic"}}
        api.apply(stt(NAMESPACE, name, **{**small, **spec}))
        return wait_until_ready(api, name)

    yield make
    for name in names:
        api.delete("WyomingStt", name, NAMESPACE)


def assert_gone(api: Api, name: str) -> None:
    assert api.find("WyomingStt", name, NAMESPACE) is None
    left = pods(api, name)
    assert not left, f"{len(left)} pods"


def pods(api: Api, name: str) -> list[Object]:
    return api.list("Pod", NAMESPACE, labels=instance_labels(name))


def wait_until_ready(api: Api, name: str) -> Object:
    def look() -> Object:
        found = api.get("WyomingStt", name, NAMESPACE)
        ready = condition(found, "Ready")
        states = [
            (each["metadata"]["name"], each["status"].get("containerStatuses", [{}])[0].get("state"))
            for each in pods(api, name)
        ]
        assert ready["status"] == "True", f"{ready['reason']}: {ready['message']}; {states}"
        assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
        return found

    return eventually(f"{name} is ready", look, within=120, every=0.5)


def cluster_ip(api: Api, name: str) -> str:
    return api.get("Service", name, NAMESPACE)["spec"]["clusterIP"]


def assert_heard(api: Api, name: str) -> None:
    """A clip's words come back through the Service. The node's proxy hears of a ready pod a moment after the server."""
    address = cluster_ip(api, name)

    def look() -> None:
        try:
            assert say(address, 10300, OFFICE) == OFFICE.words
        except ConnectionRefusedError as refusal:
            raise AssertionError(str(refusal)) from refusal

    eventually(f"{name} is heard", look, within=10)


def test_words_come_through_the_services_address_and_its_name(endpoint: Callable[..., Object], api: Api) -> None:
    made = endpoint("words")
    assert_heard(api, "words")
    address = cluster_ip(api, "words")
    told = made["status"]["endpoint"]
    name = told["host"] if told["host"].endswith("cluster.local") else f"{told['host']}.cluster.local"
    assert address_of(name) == address
    assert say(address_of(name), told["port"], OFFICE) == OFFICE.words


def test_an_upload_with_a_key_is_answered_through_the_service_and_keys_change_while_it_runs(
    endpoint: Callable[..., Object], api: Api
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-keys", "namespace": NAMESPACE}}
    api.apply(secret | {"stringData": {"keys": "# the kitchen\nsk-kitchen-1\n"}})
    made = endpoint("api", http={"port": 80, "keysSecretRef": {"name": "api-keys", "key": "keys"}})
    assert made["status"]["endpoint"]["apiUrl"] == f"http://api.{NAMESPACE}.svc:80/v1"
    address = address_of(f"api.{NAMESPACE}.svc.cluster.local")
    assert_heard(api, "api")
    assert transcribe(address, 80, OFFICE, "sk-kitchen-1") == (200, OFFICE.words)
    for key in (None, "sk-kitchen-2"):
        status, said = transcribe(address, 80, OFFICE, key)
        assert status == 401 and "key" in said, said
    pod = pods(api, "api")[0]["metadata"]["uid"]
    api.apply(secret | {"stringData": {"keys": "sk-garden-22\n"}})

    def is_read() -> None:
        assert transcribe(address, 80, OFFICE, "sk-garden-22") == (200, OFFICE.words)

    # The kubelet looks at a mounted Secret about once a minute. A wrong key may be tried once in six seconds.
    eventually("the new key is taken", is_read, within=100, every=7)
    assert transcribe(address, 80, OFFICE, "sk-kitchen-1")[0] == 401
    assert pods(api, "api")[0]["metadata"]["uid"] == pod
    api.delete("Secret", "api-keys", NAMESPACE)


def test_pods_are_restricted_and_hold_no_token(
    endpoint: Callable[..., Object], release: Release, cluster: Cluster, api: Api
) -> None:
    endpoint("safe")
    with pytest.raises(Refused, match="violates PodSecurity"):
        api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "unsafe", "namespace": NAMESPACE},
                "spec": {"containers": [{"name": "any", "image": "any"}]},
            }
        )
    pod = pods(api, "safe")[0]["metadata"]["name"]
    inside = cluster.kubectl(
        "exec", "--namespace", NAMESPACE, pod, "--", "sh", "-c",
        "id -u; ls /var/run/secrets 2>&1; touch /file 2>&1; grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status",
    )  # fmt: skip
    assert inside.splitlines()[0] == "65532"
    assert "No such file or directory" in inside, "a service account's token is mounted"
    assert "Read-only file system" in inside
    status = dict(re.findall(r"(\w+):\s+(\w+)", inside))
    assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16)) == ("1", "2", 0)


@pytest.mark.parametrize("late_s", [0, 14], ids=["told_at_once", "told_late"])
def test_a_rolling_update_under_load_loses_no_utterance(
    late_s: int, endpoint: Callable[..., Object], api: Api, cluster: Cluster, record: Callable[..., None]
) -> None:
    """Not even where the node's proxy goes on sending clients to a replica that was told to end long ago."""
    name = f"rolling-{late_s}"
    endpoint(name, replicas=2)
    before = {each["metadata"]["name"] for each in pods(api, name)}
    crowd = Crowd(cluster_ip(api, name), 10300, pause=0.1)
    with timeline(lambda: pods(api, name)) as seen, crowd.speaking(4):
        eventually("the crowd is heard", lambda: assert_answered(crowd, 10), within=30)
        begun = time.monotonic()
        api.patch("WyomingStt", name, NAMESPACE, {"spec": {"telemetry": {"logLevel": "debug"}}})
        if late_s:
            eventually("the first is told to end", lambda: assert_one_ends(api, name), within=60)
            cluster.restart("proxy", "--stay-down", str(late_s))
        eventually("all pods are new", lambda: assert_replaced(api, name, before), within=150, every=0.5)
        took = time.monotonic() - begun
        settled = crowd.answered
        eventually("the crowd is heard by the new pods", lambda: assert_answered(crowd, settled + 10), within=30)
    late = f", their node's proxy away for {late_s} s" if late_s else ""
    record(
        f"rolling update of two replicas under four clients{late}",
        seconds=round(took, 1),
        utterances=crowd.answered,
        lost=len(crowd.lost),
        slowest_s=round(crowd.slowest, 2),
    )
    story = "\n".join(sorted([*seen, *crowd.lost[:50]]))
    assert not crowd.lost, f"{len(crowd.lost)} of {crowd.answered + len(crowd.lost)}:\n{story}"


def assert_one_ends(api: Api, name: str) -> None:
    assert any("deletionTimestamp" in each["metadata"] for each in pods(api, name))


def assert_answered(crowd: Crowd, count: int) -> None:
    assert crowd.answered >= count, f"{crowd.answered} answers; lost: {crowd.lost[:3]}"


def assert_replaced(api: Api, name: str, before: set[str]) -> None:
    now = pods(api, name)
    old = before & {each["metadata"]["name"] for each in now}
    assert not old, f"{old} are still there"
    assert len(now) == len(before) and all(map(is_pod_ready, now))


def test_the_queue_takes_replicas_from_one_to_three_and_back(
    endpoint: Callable[..., Object], api: Api, record: Callable[..., None]
) -> None:
    slow = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "300m", "memory": "512Mi"}}
    down = {"stabilizationSeconds": 10, "maxPercentPerStep": 50, "stepSeconds": 2}
    scaling = {"minReplicas": 1, "maxReplicas": 3, "targetQueueDepth": 1, "drainTargetSeconds": 10,
               "startupSecondsHint": 5, "scaleUp": {"stepSeconds": 1}, "scaleDown": down}  # fmt: skip
    endpoint(
        "scaled",
        resources=slow,
        decoding={"audioContext": "Exact"},
        autoscaling=scaling,
        capacity={"queueTimeoutSeconds": 45, "maxQueue": 64},
    )
    assert len(pods(api, "scaled")) == 1
    address = cluster_ip(api, "scaled")
    one_voice = Crowd(address, 10300, pause=1.0)
    begun = time.monotonic()
    # One client goes on through everything, so a replica that leaves while it works would be noticed.
    with one_voice.speaking(1):
        crowd = Crowd(address, 10300)
        # So many that one more replica is worth its start: who waits for words says nothing more meanwhile.
        with crowd.speaking(24):
            eventually("three replicas are ready", lambda: assert_replicas(api, "scaled", 3), within=120, every=0.5)
            up = time.monotonic() - begun
            status = api.get("WyomingStt", "scaled", NAMESPACE)["status"]
        ended = time.monotonic()
        eventually("one replica is left", lambda: assert_replicas(api, "scaled", 1), within=150, every=0.5)
        back = time.monotonic() - ended
        stays("it stays one", lambda: assert_replicas(api, "scaled", 1), during=5)
    record(
        "queue depth takes one replica to three and back",
        up_s=round(up, 1),
        down_s=round(back, 1),
        utterances=crowd.answered + one_voice.answered,
        lost=len(crowd.lost) + len(one_voice.lost),
    )
    assert status["autoscaling"]["desiredReplicas"] == 3
    # Of 1000 utterances those that were answered before their deadline, as the replicas count them.
    assert 900 < status["autoscaling"]["attainedShareMilli"] <= 1000, status
    assert not crowd.lost and not one_voice.lost, f"{crowd.lost[:3]} {one_voice.lost[:3]}"


def assert_replicas(api: Api, name: str, count: int) -> None:
    ready = [each for each in pods(api, name) if is_pod_ready(each)]
    figures = api.get("WyomingStt", name, NAMESPACE)["status"].get("autoscaling")
    assert len(ready) == len(pods(api, name)) == count, f"{len(ready)} of {len(pods(api, name))} ready; {figures}"


def test_a_model_is_served_from_an_image_volume(endpoint: Callable[..., Object], cluster: Cluster, api: Api) -> None:
    version = api.get("Deployment", "wyoming-stt-operator", NAMESPACE)["spec"]["template"]["spec"]["containers"][0][
        "image"
    ].rpartition(":")[2]
    image = {"reference": f"docker.io/library/wyoming-stt-demo-model:{version}", "path": "/model"}
    endpoint("imaged", model={"name": "commands", "source": {"image": image}})
    spec = pods(api, "imaged")[0]["spec"]
    mounted = next(each for each in spec["volumes"] if "image" in each)
    assert mounted["image"]["reference"] == image["reference"]
    env = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    files = cluster.kubectl(
        "exec", "--namespace", NAMESPACE, pods(api, "imaged")[0]["metadata"]["name"], "--", "ls", env["STT_MODEL"]
    )
    assert "model.safetensors" in files.split()
    assert_heard(api, "imaged")


def test_a_killed_server_is_started_again_and_heard(
    endpoint: Callable[..., Object], cluster: Cluster, api: Api
) -> None:
    endpoint("killed", replicas=1)
    before = pods(api, "killed")[0]
    identity = before["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    runtime(cluster, "tasks", "kill", "--signal", "SIGKILL", identity)

    def heard() -> None:
        now = pods(api, "killed")[0]
        assert now["metadata"]["uid"] == before["metadata"]["uid"]
        assert now["status"]["containerStatuses"][0]["restartCount"] == 1
        assert is_pod_ready(now)

    eventually("the same pod is ready again", heard, within=60, every=0.5)
    assert_heard(api, "killed")


def test_helm_test_speaks_to_the_releases_endpoints(release: Release, api: Api) -> None:
    assert "Succeeded" in release.test()
    release.install("--set-json", 'instances.hall={"model":{"name":"demo"},"resources":{"requests":{"cpu":"50m"}}}')
    wait_until_ready(api, "hall")
    assert "Succeeded" in release.test()
    assert_heard(api, "hall")
    # Without it in the values, the release takes its endpoint away again.
    release.install()
    eventually("hall is gone", lambda: assert_gone(api, "hall"), within=90)


def test_endpoints_outlive_the_release(endpoint: Callable[..., Object], release: Release, api: Api) -> None:
    endpoint("kept")
    before = {each["metadata"]["uid"] for each in pods(api, "kept")}
    release.uninstall()
    try:
        assert api.find("Deployment", "wyoming-stt-operator", NAMESPACE) is None
        assert api.get("CustomResourceDefinition", DEFINITION)["status"]["acceptedNames"]["kind"] == "WyomingStt"
        assert_heard(api, "kept")
        assert {each["metadata"]["uid"] for each in pods(api, "kept")} == before
    finally:
        release.install()
    # The new operator takes over what it finds.
    api.patch("WyomingStt", "kept", NAMESPACE, {"spec": {"replicas": 2}})
    eventually("the new operator acts", lambda: assert_replicas(api, "kept", 2), within=90, every=0.5)
    assert before < {each["metadata"]["uid"] for each in pods(api, "kept")}
