"""Pins, the workflow's rights, and what the release scripts call, with programs that only write it down."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, load, read

WORKFLOW = ".github/workflows/release.yml"
DIGEST = "sha256:" + "ab" * 32
# Writes its arguments a line, and where buildx was told to, what came of the build.
DOCKER = f"""echo "docker $*" >>"$CALLS"
while [ $# -gt 0 ]; do
    if [ "$1" = --metadata-file ]; then echo '{{"containerimage.digest": "{DIGEST}"}}' >"$2"; fi
    shift
done"""
HELM = f"""echo "helm $*" >>"$CALLS"
case $1 in package) : >"$4/wyoming-stt-0.1.0.tgz" ;; push) echo "Digest: {DIGEST}" >&2 ;; esac"""
COSIGN = 'echo "cosign $*" >>"$CALLS"'


def test_every_image_starts_from_one_base_that_is_pinned_by_digest() -> None:
    dockerfile = read("Dockerfile")
    assert re.search(r"^ARG DEBIAN=debian:bookworm-\d{8}-slim@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", dockerfile, re.MULTILINE)
    assert len(stages) == len(re.findall("^FROM ", dockerfile, re.MULTILINE)) == 8
    names = {name for _, name in stages}
    assert {base for base, _ in stages if base not in names} == {"${DEBIAN}"}


@pytest.mark.parametrize("target", ["server-cpu", "server-cuda", "operator"])
def test_every_image_says_what_it_is(target: str) -> None:
    stage = read("Dockerfile").split(f" AS {target}\n")[1].split("\nFROM ")[0]
    for label in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{label}=" in stage


def test_actions_are_pinned_by_commit() -> None:
    used = re.findall(r"uses: (\S+)(.*)", read(WORKFLOW))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_the_workflow_may_do_no_more_than_it_needs() -> None:
    workflow = load(WORKFLOW)
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    pushes = {"contents": "read", "packages": "write", "id-token": "write"}
    assert rights == {"test": {"contents": "read"}, "images": pushes, "chart": pushes}
    # Expressions in commands would let a tag's name run what it likes.
    commands = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert commands
    assert not any("${{" in command for command in commands)


def test_nothing_is_pushed_before_the_tests_have_passed() -> None:
    jobs = load(WORKFLOW)["jobs"]
    assert any(step.get("run") == "tests/all" for step in jobs["test"]["steps"])
    assert (jobs["images"]["needs"], jobs["chart"]["needs"]) == ("test", "images")


def test_the_workflow_builds_what_the_chart_starts(version: str) -> None:
    built = {
        f"{it['image']}:{version}{it['suffix']}" for it in load(WORKFLOW)["jobs"]["images"]["strategy"]["matrix"]["include"]
    }
    chart = load("charts/wyoming-stt/Chart.yaml")
    assert chart["version"] == chart["appVersion"] == version
    assert built == set(re.findall(r"image: (\S+)", chart["annotations"]["artifacthub.io/images"]))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A commit with the release scripts and what they read."""
    folder = tmp_path / "checkout"
    for name in ("release", "charts", "Cargo.toml", "Dockerfile"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        folder.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x.invalid", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("key", ["", "cosign.key"])
def test_an_image_is_built_with_sbom_and_provenance_and_its_digest_is_signed(
    called: tuple, checkout: Path, tmp_path: Path, version: str, key: str
) -> None:
    install, run = called
    install("docker", DOCKER)
    install("cosign", COSIGN)
    calls = tmp_path / "calls"
    name = "registry.example:5000/wyoming-stt:1"
    platforms = "linux/amd64\nlinux/arm64"
    done = run(checkout / "release/image", "server-cpu", name, CALLS=str(calls), PLATFORMS=platforms, COSIGN_KEY=key)
    assert done.returncode == 0, done.stderr
    docker, cosign = calls.read_text().splitlines()
    assert docker.startswith("docker buildx build --target server-cpu --tag registry.example:5000/wyoming-stt:1 ")
    for flag in ("--sbom=true", "--provenance=mode=max", "--push", "--platform linux/amd64,linux/arm64"):
        assert f" {flag} " in docker
    assert f" --label org.opencontainers.image.version={version} " in docker
    signed = f"registry.example:5000/wyoming-stt@{DIGEST}"
    assert cosign == f"cosign sign --yes {f'--key {key} ' if key else ''}{signed}"
    assert done.stdout.strip() == f"{name}@{DIGEST}"


def test_an_image_of_changes_that_are_in_no_commit_is_refused(called: tuple, checkout: Path, tmp_path: Path) -> None:
    install, run = called
    install("docker", DOCKER)
    (checkout / "Dockerfile").write_text("FROM scratch\n")
    calls = tmp_path / "calls"
    done = run(checkout / "release/image", "server-cpu", "registry.example/x:1", CALLS=str(calls))
    assert done.returncode == 1
    assert "in no commit" in done.stderr
    assert not calls.exists()


def test_the_chart_is_pushed_and_its_digest_is_signed(called: tuple, checkout: Path, tmp_path: Path) -> None:
    install, run = called
    install("helm", HELM)
    install("cosign", COSIGN)
    calls = tmp_path / "calls"
    done = run(checkout / "release/chart", "registry.example/charts", CALLS=str(calls))
    assert done.returncode == 0, done.stderr
    _, push, cosign = calls.read_text().splitlines()
    assert push.endswith("wyoming-stt-0.1.0.tgz oci://registry.example/charts")
    assert cosign == f"cosign sign --yes registry.example/charts/wyoming-stt@{DIGEST}"


def test_the_documents_name_flags_that_are_used() -> None:
    script = read("release/image")
    for flag in ("--sbom=true", "--provenance=mode=max", "org.opencontainers.image.version=", "--platform"):
        assert flag in script
        assert flag in read("docs/releases.md")
