"""What is generated is as it would be generated now, and versions agree."""

import os
import tomllib

import dashboards
import generated
import pytest
import yaml
from cases import CASES
from rendering import CHART, ROOT, Values, render

CHART_YAML = yaml.safe_load((CHART / "Chart.yaml").read_text())
DEFINITION = (ROOT / "manifests/crd.yaml").read_text()
AGAIN = "run manifests/generate"


def test_the_chart_has_the_definition_that_the_operator_prints() -> None:
    assert (CHART / "files/crd.yaml").read_text() == DEFINITION, AGAIN


def test_the_schema_knows_the_definition() -> None:
    schema = (CHART / "values.schema.json").read_text()
    assert generated.values_schema(DEFINITION, schema) == schema, AGAIN


def test_dashboards_and_the_page_of_alerts_are_as_they_would_be_made() -> None:
    found = {path.name: path.read_text() for path in (CHART / "files/dashboards").iterdir()}
    assert found == dashboards.files(), AGAIN
    alerts = (CHART / "files/alerts.yaml").read_text()
    assert (ROOT / "docs/alerts.md").read_text() == generated.alerts_page(alerts), AGAIN


def test_install_yaml_is_what_the_chart_gives() -> None:
    text = (ROOT / "manifests/install.yaml").read_text()
    assert generated.install_manifest(os.environ["HELM"]) == text, AGAIN


def test_install_yaml_speaks_of_no_release_of_helm() -> None:
    objects = list(yaml.safe_load_all((ROOT / "manifests/install.yaml").read_text()))
    kinds = [thing["kind"] for thing in objects]
    assert kinds[0] == "Namespace"
    assert not {"Pod", "CustomResourceDefinition"} & set(kinds)
    assert "elm" not in (ROOT / "manifests/install.yaml").read_text().split("kind: Namespace")[1]
    assert {thing["metadata"].get("namespace", "wyoming-stt") for thing in objects} == {"wyoming-stt"}


@pytest.mark.parametrize("values", [{}, CASES["definition-goes"], CASES["names"]], ids=["defaults", "goes", "names"])
def test_the_definition_is_rendered_byte_by_byte_but_for_what_marks_the_release(values: Values) -> None:
    documents = render(values).text.split("\n---\n")
    (found,) = [document for document in documents if "kind: CustomResourceDefinition" in document]
    metadata = yaml.safe_load(found)["metadata"]
    lines = found.split("# Made by", 1)[1].split("\n")
    start, end = lines.index("metadata:"), lines.index("  name: wyomingstts.wyoming-stt.dev")
    bare = "# Made by" + "\n".join(lines[: start + 1] + lines[end:])
    assert bare.strip() == DEFINITION.strip()
    keep = metadata.get("annotations", {}).get("helm.sh/resource-policy")
    assert keep == (None if values.get("crds", {}).get("keep") is False else "keep")


def test_the_definition_can_be_left_out() -> None:
    assert "CustomResourceDefinition" not in render(CASES["no-definition"]).kinds


def test_chart_and_programs_have_one_version() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert (CHART_YAML["version"], CHART_YAML["appVersion"]) == (workspace, workspace)


def annotation(name: str) -> list[dict[str, object]]:
    return yaml.safe_load(CHART_YAML["annotations"][f"artifacthub.io/{name}"])


def test_the_annotations_name_the_images_that_are_used() -> None:
    rendered = render()
    images = {image["name"]: image["image"] for image in annotation("images")}
    assert images == {
        "operator": rendered.operator["image"],
        "server": rendered.environment["OPERATOR_SERVER_IMAGE"],
        "server-cuda": rendered.environment["OPERATOR_SERVER_IMAGE_CUDA"],
    }


def test_the_annotations_describe_the_definition() -> None:
    (crd,) = annotation("crds")
    definition = yaml.safe_load(DEFINITION)
    assert crd["name"] == definition["metadata"]["name"]
    assert crd["kind"] == definition["spec"]["names"]["kind"]
    assert crd["version"] == definition["spec"]["versions"][0]["name"]
    (example,) = annotation("crdsExamples")
    assert render({"instances": {"speech": example["spec"]}}).one("WyomingStt")["apiVersion"] == example["apiVersion"]
