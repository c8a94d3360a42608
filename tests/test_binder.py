"""Binder would build the right image: repo2docker renders its Dockerfile, without Docker."""

import os
from pathlib import Path

import pytest
from repo2docker.buildpacks import PythonBuildPack

ROOT = Path(__file__).resolve().parents[1]
CPU_TORCH = "--extra-index-url https://download.pytorch.org/whl/cpu"


@pytest.fixture
def buildpack(monkeypatch):
    monkeypatch.chdir(ROOT)
    pack = PythonBuildPack(base_image="docker.io/library/buildpack-deps:24.04")
    pack.platform = "linux/amd64"
    return pack


def test_binder_finds_its_folder_and_python(buildpack):
    assert buildpack.detect()
    assert buildpack.binder_dir == "binder"
    assert buildpack.python_version == "3.11"


def test_dockerfile_installs_the_requirements_and_then_the_helpers(buildpack):
    dockerfile = buildpack.render({})
    copied = dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
    requirements = dockerfile.index(
        'pip install --no-cache-dir -r "binder/requirements.txt"'
    )
    assert copied < requirements < dockerfile.index("RUN ./binder/postBuild")
    assert os.access("binder/postBuild", os.X_OK)
    assert (
        "pip install --no-deps ." in Path("binder/postBuild").read_text().splitlines()
    )


def test_torch_comes_without_cuda():
    """Without this index Linux gets 3 GB of CUDA; in the root requirements it would delay every reader."""
    assert (ROOT / "binder/requirements.txt").read_text().splitlines() == [
        CPU_TORCH,
        "-r ../requirements.txt",
    ]
    assert "download.pytorch.org" not in (ROOT / "requirements.txt").read_text()
