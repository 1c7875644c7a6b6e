"""manifests/kubectl-wyoming_stt, the plug-in of kubectl."""

import json
import os
import subprocess
from collections.abc import Callable

from kit.api import Api
from kit.cluster import ROOT, Cluster
from kit.load import Listener
from kit.nodes import Nodes
from kit.objects import assert_condition, stt
from kit.operator import Operator
from kit.waiting import eventually

PLUGIN = ROOT / "manifests/kubectl-wyoming_stt"
SECRET = "hunter2-in-a-template"


def plugin(cluster: Cluster, *arguments: str) -> str:
    """What it prints. Raises when it fails."""
    settings = {**os.environ, "KUBECTL": str(cluster.kubectl_path), "KUBECONFIG": str(cluster.kubeconfig)}
    run = subprocess.run([str(PLUGIN), *arguments], env=settings, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_it_says_what_is_wrong_and_reports_no_secret(
    api: Api,
    cluster: Cluster,
    namespace: str,
    nodes: Nodes,
    operator: Operator,
    listener: Listener,
    new_load: Callable[..., object],
) -> None:
    new_load("good")
    env = [{"name": "TOKEN", "value": SECRET}]
    template = {"spec": {"containers": [{"name": "server", "env": env}]}}
    telemetry = {"adminPort": listener.port}
    decoding = {"initialPrompt": SECRET}
    api.create(
        stt(namespace, "good", podTemplate=template, telemetry=telemetry, decoding=decoding, **nodes.placement())
    )
    api.create(stt(namespace, "bad", podTemplate={"spec": {"hostNetwork": True}}))

    def are_told() -> None:
        assert_condition(api.get("WyomingStt", "good", namespace), "Ready", "True")
        assert_condition(api.get("WyomingStt", "bad", namespace), "Ready", "False", "PodTemplateInvalid")

    eventually("both are looked after", are_told, within=40)
    status = plugin(cluster, "status", "-n", namespace)
    assert "podTemplate.spec.hostNetwork is not allowed: remove it" in status
    assert f"{namespace}/bad: SpecValid PodTemplateInvalid: " in status
    assert f"{namespace}/good:" not in status, status

    (line,) = plugin(cluster, "load", "good", "-n", namespace).splitlines()
    pod, _, report = line.partition(" ")
    assert pod.startswith("good-") and json.loads(report)["model"]["name"] == "demo", line

    for arguments in (["report", "-n", namespace], ["report", "good", "-n", namespace]):
        whole = plugin(cluster, *arguments)
        assert SECRET not in whole
        for part in (f"{namespace}/good generation 1", "== pods", "Reconciled"):
            assert part in whole, whole
    assert operator.is_running()


def test_words_that_it_does_not_know_are_answered_with_its_usage(cluster: Cluster) -> None:
    for arguments in ([], ["stop"], ["load"], ["status", "--all"]):
        settings = {**os.environ, "KUBECTL": str(cluster.kubectl_path)}
        run = subprocess.run([str(PLUGIN), *arguments], env=settings, capture_output=True, text=True, timeout=30)
        assert run.returncode == 64 and "kubectl wyoming-stt status" in run.stderr, run
