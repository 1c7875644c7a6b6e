"""What Helm says after an install."""

import json

import pytest
from cases import CASES
from rendering import CHART, NAMESPACE, RELEASE, Values, helm


def notes(values: Values) -> str:
    arguments = [
        "install",
        RELEASE,
        str(CHART),
        "--namespace",
        NAMESPACE,
        "--values",
        "-",
        "--dry-run=client",
        "-o",
        "json",
    ]
    run = helm(*arguments, given=json.dumps(values))
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)["info"]["notes"]


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_notes_are_text(values: Values) -> None:
    said = notes(values)
    for word in ("<no value>", "{{", "<nil>", "map[", "\n\n\n"):
        assert word not in said, said
    assert all(line == line.rstrip() for line in said.splitlines()), said


def test_without_instances_they_tell_how_to_make_one() -> None:
    said = notes({})
    assert "all namespaces" in said
    assert "kubectl apply -n speech -f -" in said
    assert "kind: WyomingStt" in said
    assert "Host: speech.speech.svc\n    Port: 10300" in said
    assert "Uninstalling leaves the definition" in said


def test_in_a_watched_namespace_they_tell_how_to_make_one_there() -> None:
    said = notes({"watchNamespaces": ["home", "office"]})
    assert "objects of home, office." in said
    assert "kubectl apply -n home -f -" in said
    assert "Host: speech.home.svc" in said


def test_every_instance_has_host_and_port() -> None:
    said = notes(CASES["instances"])
    assert "Host: speech.speech.svc\n    Port: 10300" in said
    assert "Host: office.speech.svc\n    Port: 10400" in said
    assert "Host: garage.speech.svc\n    Port: 10300" in said
    assert said.count("Base URL for OpenAI's clients: http://desk.speech.svc:80/v1") == said.count("Base URL") == 1
    assert "instances.speech.service.type" in said
    assert "kubectl get service office -n speech" in said
    assert "the address of any node, and port 30300" in said
    assert "helm test wyoming-stt -n speech" in said


def test_a_definition_that_goes_is_not_said_to_stay() -> None:
    assert "Uninstalling leaves" not in notes(CASES["definition-goes"])
