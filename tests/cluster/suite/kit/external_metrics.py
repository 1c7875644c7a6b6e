"""An API of external metrics, as prometheus-adapter serves one, with values that a test chooses."""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

from kit.api import Api, Object, Refused
from kit.cluster import Cluster

GROUP = "external.metrics.k8s.io"
VERSION = "v1beta1"
# Of the node in whose network the tests run: endpoints may not be loopback addresses.
ADDRESS = "10.200.0.1"
NAME = "external-metrics"


class ExternalMetrics:
    """While it is entered, the API server hands requests for external metrics to it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._api: Api = cluster.api
        self._namespace = namespace
        # By name; every selector of the same metric is answered alike, and written down.
        self.values: dict[str, int] = {}
        self.selectors: set[str] = set()
        self._server = ThreadingHTTPServer((ADDRESS, 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pki = cluster.run / "pki"
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, name=NAME, daemon=True)

    def __enter__(self) -> "ExternalMetrics":
        self._thread.start()
        for thing in self._objects():
            self._api.create(thing)
        return self

    def __exit__(self, *_: object) -> None:
        # First of all: an API that nobody serves keeps namespaces from being deleted.
        self._api.delete("APIService", f"{VERSION}.{GROUP}")
        self._server.shutdown()
        self._server.server_close()

    def _objects(self) -> list[Object]:
        place = {"name": NAME, "namespace": self._namespace}
        port = self._server.server_port
        return [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": place,
                "spec": {"ports": [{"name": "https", "port": 443}]},
            },
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**place, "labels": {"kubernetes.io/service-name": NAME}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [ADDRESS], "conditions": {"ready": True}}],
                "ports": [{"name": "https", "port": port}],
            },
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": place,
                "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": [{"name": "https", "port": port}]}],
            },
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": f"{VERSION}.{GROUP}"},
                "spec": {
                    "group": GROUP,
                    "version": VERSION,
                    "service": {**place, "port": 443},
                    "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                },
            },
        ]

    def assert_served(self) -> None:
        """The API server says that it reaches it."""
        conditions = self._api.get("APIService", f"{VERSION}.{GROUP}").get("status", {}).get("conditions", [])
        assert [each["status"] for each in conditions if each["type"] == "Available"] == ["True"], conditions
        try:
            self._api.send("GET", f"apis/{GROUP}/{VERSION}")
        except Refused as refusal:
            raise AssertionError(str(refusal)) from refusal

    def _answer(self, path: str) -> Object | None:
        url = urlparse(path)
        parts = url.path.strip("/").split("/")
        here = f"{GROUP}/{VERSION}"
        if parts == ["apis", GROUP, VERSION]:
            resource = {"name": "any", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": here, "resources": [resource]}
        if len(parts) != 6 or parts[3] != "namespaces":
            return None
        name = parts[5]
        self.selectors.add(parse_qs(url.query).get("labelSelector", [""])[0])
        if name not in self.values:
            return None
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        item = {"metricName": name, "metricLabels": {}, "timestamp": now, "value": str(self.values[name])}
        return {"kind": "ExternalMetricValueList", "apiVersion": here, "metadata": {}, "items": [item]}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = answer(self.path)
                body = json.dumps(found if found is not None else {"kind": "Status", "apiVersion": "v1", "code": 404})
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Nothing: what was asked for is written down."""

        return Handler
