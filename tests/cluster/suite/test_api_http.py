"""`spec.http`: the API's port, its keys and who may reach it, on a real API server. Spoken words: `test_node.py`."""

from collections.abc import Callable

from kit.api import Api, Object
from kit.audit import Audit
from kit.nodes import Nodes
from kit.objects import assert_condition, container, env, stt
from kit.operator import Operator
from kit.waiting import eventually

KEYS = {"name": "api-keys", "key": "keys"}


def service_ports(api: Api, namespace: str) -> dict[str, int]:
    """The ports of the Service, by their names."""
    ports = api.get("Service", "speech", namespace)["spec"]["ports"]
    return {port["name"]: port["port"] for port in ports}


def template(api: Api, namespace: str) -> Object:
    return api.get("Deployment", "speech", namespace)["spec"]["template"]


def test_an_api_comes_moves_and_goes_with_its_field(
    api: Api, namespace: str, nodes: Nodes, operator: Operator, user: str, audit: Callable[[], Audit]
) -> None:
    log = audit()
    policy = {"mode": "Ingress", "from": [{"cidr": "192.168.1.0/24"}]}
    api.create(stt(namespace, networkPolicy=policy, **nodes.placement()))
    eventually("Wyoming alone is served", lambda: assert_ports(api, namespace, {"wyoming": 10300}), within=20)
    # The Deployment is written last.
    eventually("pods have no API", lambda: assert_off(api, namespace), within=10)

    api.patch("WyomingStt", "speech", namespace, {"spec": {"http": {"keysSecretRef": KEYS}}})
    ports = {"wyoming": 10300, "http": 8080}
    eventually("the API is served", lambda: assert_ports(api, namespace, ports), within=20)

    def has_keys() -> None:
        pod = template(api, namespace)
        settings = env(pod)
        assert (settings["STT_HTTP"], settings.get("STT_HTTP_KEYS")) == ("*:8080", "/http/keys/file"), settings
        (volume,) = [each for each in pod["spec"]["volumes"] if "secret" in each]
        assert volume["secret"]["secretName"] == "api-keys"
        assert {"name": "http", "containerPort": 8080, "protocol": "TCP"} in container(pod)["ports"]
        told = api.get("WyomingStt", "speech", namespace)["status"]["endpoint"]
        assert told.get("apiUrl") == f"http://speech.{namespace}.svc:8080/v1"

    eventually("pods are told of port and keys", has_keys, within=20)
    clients = api.get("NetworkPolicy", "speech", namespace)["spec"]["ingress"][0]
    assert [port["port"] for port in clients["ports"]] == [10300, 8080]
    assert clients["from"] == [{"ipBlock": {"cidr": "192.168.1.0/24"}}]

    api.patch("WyomingStt", "speech", namespace, {"spec": {"http": {"port": 80}}})
    ports = {"wyoming": 10300, "http": 80}
    eventually("the API's port moves", lambda: assert_ports(api, namespace, ports), within=20)

    api.patch("WyomingStt", "speech", namespace, {"spec": {"http": None}})
    eventually("the API is gone", lambda: assert_ports(api, namespace, {"wyoming": 10300}), within=20)

    def is_gone() -> None:
        assert_off(api, namespace)
        assert "volumes" not in template(api, namespace)["spec"]
        assert "apiUrl" not in api.get("WyomingStt", "speech", namespace)["status"]["endpoint"]

    eventually("pods are told so", is_gone, within=20)
    asked = {request.resource for request in log.requests(user)}
    assert "deployments" in asked and "secrets" not in asked, asked
    assert operator.is_running()


def assert_off(api: Api, namespace: str) -> None:
    assert env(template(api, namespace))["STT_HTTP"] == "off"


def assert_ports(api: Api, namespace: str, ports: dict[str, int]) -> None:
    assert service_ports(api, namespace) == ports


def test_an_api_without_keys_that_is_open_to_the_outside_is_warned_of(
    api: Api, namespace: str, operator: Operator
) -> None:
    api.create(stt(namespace, http={}, service={"type": "NodePort"}))

    def warned() -> None:
        found = assert_condition(api.get("WyomingStt", "speech", namespace), "SpecValid", "True", "HttpWithoutKeys")
        assert "http.keysSecretRef" in found["message"]

    eventually("the missing keys are told", warned, within=20)
    api.patch("WyomingStt", "speech", namespace, {"spec": {"http": {"keysSecretRef": KEYS}}})

    def fine() -> None:
        assert_condition(api.get("WyomingStt", "speech", namespace), "SpecValid", "True", "Valid")

    eventually("with keys all is well", fine, within=20)
    assert operator.is_running()
