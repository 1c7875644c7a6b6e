"""Objects as tests write them, and short ways to read what the server has."""

import datetime
from typing import Any

from kit.api import Object

# The operator's names.
MANAGER = "wyoming-stt-operator"
STATUS_MANAGER = "wyoming-stt-operator-status"
SCALER = "wyoming-stt-operator-fleet"
CONDITIONS = {
    "Ready",
    "Available",
    "Progressing",
    "SpecValid",
    "ModelReady",
    "AutoscalingActive",
    "CapacityLimited",
    "Degraded",
}


def stt(namespace: str, name: str = "speech", **spec: Any) -> Object:
    """A WyomingStt with the built-in model, one replica unless `spec` says otherwise."""
    return {
        "apiVersion": "wyoming-stt.dev/v1alpha1",
        "kind": "WyomingStt",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"model": {"name": "demo"}} | spec,
    }


def condition(thing: Object, type_: str) -> Object:
    """A condition; one with status `Missing` when there is none."""
    told = (thing.get("status") or {}).get("conditions") or []
    missing = {"type": type_, "status": "Missing", "reason": "", "message": ""}
    return next((each for each in told if each["type"] == type_), missing)


def assert_condition(thing: Object, type_: str, status: str, reason: str | None = None) -> Object:
    """The condition, which must have this status and reason."""
    found = condition(thing, type_)
    words = f"{type_}={found['status']} {found['reason']}: {found['message']}"
    assert found["status"] == status, words
    assert reason is None or found["reason"] == reason, words
    return found


def is_pod_ready(pod: Object) -> bool:
    """Whether a pod takes utterances."""
    return condition(pod, "Ready")["status"] == "True"


def owner_uids(thing: Object) -> list[str]:
    """Who controls an object."""
    return [owner["uid"] for owner in thing["metadata"].get("ownerReferences", []) if owner.get("controller")]


def managers(thing: Object, subresource: str = "") -> set[str]:
    """Who owns fields of an object, or of one of its subresources."""
    fields = thing["metadata"].get("managedFields", [])
    return {entry["manager"] for entry in fields if entry.get("subresource", "") == subresource}


def instance_labels(name: str | None) -> str:
    """Selects the pods of an object, or of all objects."""
    ours = "app.kubernetes.io/name=wyoming-stt"
    return f"app.kubernetes.io/instance={name},{ours}" if name else ours


def container(pod_template: Object) -> Object:
    """The server's container."""
    return next(each for each in pod_template["spec"]["containers"] if each["name"] == "server")


def env(pod_template: Object) -> dict[str, str]:
    """The plain environment of the server's container."""
    return {each["name"]: each["value"] for each in container(pod_template)["env"] if "value" in each}


def moment(text: str) -> datetime.datetime:
    """A time as the server writes it."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
