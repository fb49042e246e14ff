"""CCAF and its masks: nothing or everything hidden, the shielding colour in both stages, pictures that have no mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reidclip.artifacts.store import Artifact, Store
from reidclip.data.images import read_mask_png, write_mask_png
from reidclip.data.layouts.prcc import LAYOUT
from reidclip.data.loader import ImageSource
from reidclip.interfaces import StageContext
from reidclip.stages.mask import MaskSettings, mask
from reidclip.train.features import frozen_features
from reidclip.train.loop import LoopOptions, run_stage
from reidclip_ccaf import METHOD
from reidclip_ccaf import equations as eq
from tests.fakes import SMALL, write_prcc, write_tiny_clip
from tests.method_bench import CPU, Bench


@pytest.fixture(scope="module")
def prcc(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("people")
    return write_prcc(root / "prcc", root / "masks"), root / "masks"


def filled(masks: Path, target: Path, value: int | None) -> Path:
    """The masks again, every one of them, or every second one (None: some nothing, some everything), filled with one value."""
    for index, path in enumerate(sorted(masks.rglob("*.png"))):
        place = target / path.relative_to(masks)
        place.parent.mkdir(parents=True, exist_ok=True)
        shape = read_mask_png(path).shape
        write_mask_png(place, np.full(shape, index % 2 if value is None else value, np.uint8))
    return target


@pytest.mark.parametrize("value", [0, 1, None], ids=["all clothes", "no clothes", "either"])
def test_training_stays_finite(prcc: tuple[Path, Path], tmp_path: Path, value: int | None) -> None:
    """With nothing kept all shielding images are alike, white through and through: every distance among them is zero."""
    root, masks = prcc
    bench = Bench("ccaf", root, filled(masks, tmp_path / "masks", value))
    for command in ("prompt-learn", "finetune"):
        for number, stage in enumerate(bench.stages(command)):
            history = run_stage(stage, LoopOptions(CPU, "fp32", tmp_path / f"{command}-{number}.safetensors"), lambda *_: None)
            assert history and all(np.isfinite(v) for row in history for v in row.values())
            assert all(torch.isfinite(p).all() for p in stage.module.parameters())


def with_colour(context: StageContext, colour: tuple[int, int, int]) -> StageContext:
    source = context.source
    object.__setattr__(context, "source", ImageSource(source.paths, source.keep_paths, shielding=colour))
    return context


def test_both_stages_shield_with_the_colour_of_the_masks(prcc: tuple[Path, Path]) -> None:
    bench, colour = Bench("ccaf", *prcc), (7, 100, 33)
    context = with_colour(bench.context("finetune", erase=0.0), colour)
    (stage,) = bench.build(context, "finetune")
    batch = next(iter(stage.fetch(0)))
    views = stage.prepare(batch)  # type: ignore[attr-defined]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (stage.normalisation.mean, stage.normalisation.std))  # type: ignore[attr-defined]
    wanted = (eq.eq04_shielding_image(batch["image"], batch["keep"], colour).float() / 255 - mean) / std
    torch.testing.assert_close(views["x_s"], wanted, atol=1e-6, rtol=0)

    white, coloured = (
        frozen_features(c, c.settings, ("shield", "clothes"))
        for c in (bench.context("prompt-learn"), with_colour(bench.context("prompt-learn"), colour))
    )
    assert not torch.allclose(white["x_s"], coloured["x_s"]) and not torch.allclose(white["x_c"], coloured["x_c"])


# ---------------------------------------------------------------------------------------------------- through the commands
def label_maps(root: Path, target: Path, masks: Path, leave_out: frozenset[str] = frozenset()) -> Path:
    """LIP maps from the masks: face where something is kept, upper-clothes elsewhere."""
    from PIL import Image

    for path in sorted(masks.rglob("*.png")):
        relative = path.relative_to(masks)
        if relative.as_posix() not in leave_out:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.where(read_mask_png(path) == 1, 19, 5).astype(np.uint8)).save(target / relative)
    return target


def train(command: str, root: Path, store: Store, masks: Artifact, said: list[str], clip: Path) -> Artifact:
    from reidclip.stages.finetune import finetune, plan_finetune
    from reidclip.stages.prompt_learn import plan_prompt_learn, prompt_learn

    known = METHOD.settings[command].model_fields
    small = [f"{key}={value}" for key, value in SMALL.items() if key in known] + [f'clip="{clip}"']
    plan, run = (plan_prompt_learn, prompt_learn) if command == "prompt-learn" else (plan_finetune, finetune)
    job = plan(root, store, method="ccaf", masks=masks.ref, assignments=small, device="cpu", workers=0, say=said.append)
    return run(job)


def test_skipped_training_pictures_are_left_out(prcc: tuple[Path, Path], tmp_path: Path) -> None:
    root, masks = prcc
    gone = "rgb/train/002/A_cropped_rgb001.png"
    store, said, clip = Store(tmp_path / "store"), list[str](), write_tiny_clip(tmp_path / "tiny.safetensors")
    maps = label_maps(root, tmp_path / "maps", masks, frozenset({gone}))
    artifact = mask(LAYOUT.load(root), maps, store, on_error="skip", settings=MaskSettings(shielding="black"))  # type: ignore[arg-type]
    for command in ("prompt-learn", "finetune"):
        made = train(command, root, store, artifact, said, clip)
        assert any(
            f"1 training picture has no mask in {artifact.ref} and is left out" in note and "A_cropped_rgb001" in note
            for note in made.manifest.notes
        )
    assert sum("1 training picture has no mask" in line for line in said) == 2


def test_an_identity_without_any_mask_is_refused(prcc: tuple[Path, Path], tmp_path: Path) -> None:
    from reidclip.errors import UserError

    root, masks = prcc
    every = frozenset(p.relative_to(masks).as_posix() for p in (masks / "rgb/train/002").rglob("*.png"))
    store, clip = Store(tmp_path / "store"), write_tiny_clip(tmp_path / "tiny.safetensors")
    maps = label_maps(root, tmp_path / "maps", masks, every)
    artifact = mask(LAYOUT.load(root), maps, store, on_error="skip")
    with pytest.raises(UserError, match=r"no training picture of 1 identities; the first is 2 ") as caught:
        train("prompt-learn", root, store, artifact, [], clip)
    assert "reidclip mask" in caught.value.remedy
