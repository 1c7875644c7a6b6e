"""Makes an OCI image of one layer from files, as an archive that container runtimes import.

usage: oci.py ARCHIVE NAME:TAG [--entrypoint PROGRAM] --file FILE=PATH_IN_THE_IMAGE…
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MEDIA_TYPE = "application/vnd.oci.image."


def digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def describe(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": MEDIA_TYPE + kind, "digest": digest(blob), "size": len(blob)}


def add_folder(archive: tarfile.TarFile, path: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)


def add_file(archive: tarfile.TarFile, path: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def layer(files: dict[PurePosixPath, Path]) -> bytes:
    """Times and owners are left at zero, so the same files make the same image."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        folders = {parent for path in files for parent in path.parents if parent != PurePosixPath(".")}
        for folder in sorted(folders):
            add_folder(archive, str(folder))
        for path, source in sorted(files.items()):
            add_file(archive, str(path), source.read_bytes(), 0o755 if source.stat().st_mode & 0o111 else 0o644)
    return written.getvalue()


def write_image(target: Path, name: str, entrypoint: list[str], files: dict[PurePosixPath, Path]) -> None:
    content = layer(files)
    platform_of_image = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    config = platform_of_image | {
        "config": {"Entrypoint": entrypoint, "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [digest(content)]},
    }
    config_blob = json.dumps(config).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MEDIA_TYPE + "manifest.v1+json",
        "config": describe("config.v1+json", config_blob),
        "layers": [describe("layer.v1.tar", content)],
    }
    manifest_blob = json.dumps(manifest).encode()
    entry = describe("manifest.v1+json", manifest_blob) | {
        "platform": platform_of_image,
        "annotations": {
            # The first is what containerd goes by.
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        },
    }
    index = {"schemaVersion": 2, "mediaType": MEDIA_TYPE + "index.v1+json", "manifests": [entry]}
    with tarfile.open(target, "w") as archive:
        add_file(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', 0o644)
        add_file(archive, "index.json", json.dumps(index).encode(), 0o644)
        for blob in (content, config_blob, manifest_blob):
            add_file(archive, f"blobs/sha256/{digest(blob)[7:]}", blob, 0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("name")
    parser.add_argument("--entrypoint", action="append", default=[])
    parser.add_argument("--file", action="append", required=True)
    arguments = parser.parse_args()
    files = {}
    for pair in arguments.file:
        source, _, path = pair.rpartition("=")
        files[PurePosixPath(path.lstrip("/"))] = Path(source)
    write_image(arguments.archive, arguments.name, arguments.entrypoint, files)


if __name__ == "__main__":
    main()
