"""The program of examples/onnx_without_torch, run where there is no torch and no reidclip."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reidclip.artifacts.store import Store
from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.data.images import read_resized
from reidclip.data.transforms import normalise
from reidclip.stages.export import export, plan_export
from tests.fakes import REPOSITORY, SIZE, tiny_clip

PROGRAM = REPOSITORY / "examples" / "onnx_without_torch" / "embed.py"
NEEDS = ("numpy", "PIL", "onnxruntime")
ALSO = ("numpy.libs", "pillow.libs", "packaging", "flatbuffers", "google")  # what wheels of these bring beside them


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds these and no others."""
    folder = tmp_path_factory.mktemp("packages")
    for name in NEEDS:
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        (folder / name).symlink_to(Path(spec.origin).parent)
        for beside in ALSO:
            found = Path(spec.origin).parents[1] / beside
            if found.is_dir() and not (folder / beside).exists():
                (folder / beside).symlink_to(found)
    return folder


def run(packages: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python without its site-packages (-S), with these packages instead."""
    environment = {**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-S", *words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["torch", "reidclip", "torchvision"])
def test_there_is_nothing_else(packages: Path, tmp_path: Path, name: str) -> None:
    ended = run(packages, tmp_path, "-c", f"import {name}")
    assert f"No module named '{name}'" in ended.stderr


@pytest.mark.parametrize("how", [{}, {"preprocessing": True}, {"resize": True}], ids=["plain", "preprocessing", "resize"])
def test_the_same_cosines(packages: Path, tmp_path: Path, how: dict[str, bool]) -> None:
    store = Store(tmp_path / "artifacts")
    encoder = InferenceEncoder(tiny_clip().image_encoder, InferenceOptions(resize="bicubic", normalise=False)).eval()
    with store.create("checkpoint", "mine") as draft:
        encoder.save(draft.path)
        draft.describe(config={}, method="baseline")
    artifact, _ = export(plan_export("mine", store, threads=1, **how))
    paths = []
    for i, size in enumerate([(70, 40), (90, 31), (33, 15), (32, 16)]):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8)).save(paths[-1])
    ended = run(packages, tmp_path, str(PROGRAM), str(artifact.path), *map(str, paths))
    assert ended.returncode == 0, ended.stderr
    x = np.stack([read_resized(path, *SIZE, "bicubic")[0] for path in paths]).transpose(0, 3, 1, 2)
    vectors = torch.nn.functional.normalize(encoder.features(normalise(torch.from_numpy(x.copy()), encoder.options.normalisation)))
    wanted = sorted(((float(vectors[a] @ vectors[b]), str(paths[a]), str(paths[b])) for a, b in combinations(range(4), 2)), reverse=True)
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert [float(line[0]) for line in lines] == pytest.approx([w[0] for w in wanted], abs=2e-4)  # printed with four digits
    assert {tuple(line[1:]) for line in lines} == {w[1:] for w in wanted}
