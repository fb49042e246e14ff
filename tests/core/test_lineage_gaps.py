"""What lineage cannot say of a student: networks and teachers that came as files."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from reidclip.stages.lineage_gaps import gaps


def node(settings: dict[str, str], *inputs: Any, role: str = "") -> Any:
    artifact = SimpleNamespace(manifest=SimpleNamespace(config={"settings": settings}))
    return SimpleNamespace(kind="checkpoint", ref="s@v1", role=role, state="ok", artifact=artifact, inputs=inputs)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"student": "random:timm:resnet18", "teacher": "reidclip-tiny"}, []),
        ({"student": "timm:resnet18:net.pth", "teacher": "ViT-B-16:openai"}, ["net.pth"]),
        ({"student": "resnet50:net.pth", "teacher": "clip.safetensors"}, ["net.pth", "clip.safetensors"]),
    ],
)
def test_students_and_their_clips_from_files_are_gaps(settings: dict[str, str], files: list[str]) -> None:
    told = gaps(node(settings))
    assert len(told) == len(files)
    assert all(file in sentence for file, sentence in zip(files, told, strict=True))


def test_a_teacher_that_is_a_checkpoint_has_a_lineage_of_its_own() -> None:
    teacher = node({"clip": "clip.safetensors"}, role="teacher")
    (told,) = gaps(node({"student": "random:timm:resnet18", "teacher": "t@v1"}, teacher))
    assert "clip.safetensors" in told
