"""A HorizontalPodAutoscaler drives an endpoint through its scale subresource: the cluster's own controller, a metrics
API of the test's, and the manifest that users get.
"""

import pytest
import yaml

from kit.api import Api, Object
from kit.cluster import ROOT, Cluster
from kit.external_metrics import ExternalMetrics
from kit.nodes import Nodes
from kit.objects import assert_condition, stt
from kit.operator import Operator
from kit.waiting import eventually

# Requests of a kind that another server has reach all controllers.
pytestmark = pytest.mark.alone
MANIFEST = ROOT / "manifests/scaling/hpa.yaml"


def autoscaler(namespace: str) -> Object:
    """The manifest; its window of ten minutes is left out."""
    made = yaml.safe_load(MANIFEST.read_text())
    made["metadata"]["namespace"] = namespace
    made["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] = 0
    return made


def test_an_autoscaler_of_the_cluster_follows_a_metric(
    api: Api, cluster: Cluster, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    with ExternalMetrics(cluster, namespace) as metrics:
        metrics.values["stt_utterances"] = 3
        # Nothing is said of replicas: the autoscaler is to find a number all the same.
        api.create(stt(namespace, **nodes.placement()))
        api.create(autoscaler(namespace))
        eventually("external metrics are served", metrics.assert_served, within=30)

        def has(replicas: int) -> None:
            found = api.get("HorizontalPodAutoscaler", "speech", namespace)
            assert_condition(found, "AbleToScale", "True")
            assert_condition(found, "ScalingActive", "True")
            assert found["status"]["desiredReplicas"] == replicas, found["status"]
            assert api.get("WyomingStt", "speech", namespace)["spec"]["replicas"] == replicas
            assert api.get("Deployment", "speech", namespace)["status"].get("readyReplicas") == replicas

        # It looks every fifteen seconds.
        eventually("three utterances are three replicas", lambda: has(3), within=60, every=1)
        assert metrics.selectors == {"app_kubernetes_io_instance=speech"}
        metrics.values["stt_utterances"] = 1
        eventually("one utterance is one replica", lambda: has(1), within=60, every=1)
    assert operator.is_running()


def test_it_is_told_where_the_operator_scales_itself(
    api: Api, cluster: Cluster, namespace: str, nodes: Nodes, operator: Operator
) -> None:
    with ExternalMetrics(cluster, namespace) as metrics:
        metrics.values["stt_utterances"] = 3
        api.create(stt(namespace, autoscaling={"minReplicas": 1, "maxReplicas": 2}, **nodes.placement()))
        api.create(autoscaler(namespace))
        eventually("external metrics are served", metrics.assert_served, within=30)

        def is_refused() -> None:
            found = api.get("HorizontalPodAutoscaler", "speech", namespace)
            told = assert_condition(found, "AbleToScale", "False", "FailedUpdateScale")
            assert "replicas and autoscaling exclude each other: remove one" in told["message"]

        eventually("its number is refused in words", is_refused, within=60, every=1)
        assert api.get("WyomingStt", "speech", namespace)["spec"]["replicas"] == 1
    assert operator.is_running()
