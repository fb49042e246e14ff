"""The bundled schp-tiny on rendered people of other seeds than it was trained on: masks that make sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from reidclip.artifacts.store import Store
from reidclip.data.images import read_indexed_png, read_mask_png
from reidclip.data.open import open_pictures
from reidclip.stages.mask import keep_file, mask
from reidclip.stages.parse import label_file, open_parser, parse
from reidclip.stages.synth import synth
from reidclip_schp.parser import BUNDLED_WEIGHTS
from reidclip_schp.settings import SchpSettings

pytestmark = pytest.mark.skipif(not BUNDLED_WEIGHTS.is_file(), reason="the weights are not trained yet")


def test_masks_of_rendered_people(tmp_path: Path) -> None:
    root = tmp_path / "people"
    synth(root, layout="pairs", ids=5, outfits=0, images_per_camera=4, seed=4321, workers=1)
    dataset, store = open_pictures(root, "pictures"), Store(tmp_path / "artifacts")
    parsing = parse(dataset, open_parser("schp"), store, settings=SchpSettings(), workers=0)
    found, truth = mask(dataset, parsing, store), mask(dataset, root / "parsing", store)
    both = either = person_both = person_either = 0
    for sample in dataset.samples:
        ours, theirs = (read_mask_png(artifact.file(keep_file(sample.path))) == 0 for artifact in (found, truth))
        both, either = both + int((ours & theirs).sum()), either + int((ours | theirs).sum())
        labels = read_indexed_png(parsing.file(label_file(sample.path)))[0] > 0
        person = read_indexed_png(root / "parsing" / Path(sample.path).with_suffix(".png"))[0] > 0
        person_both, person_either = person_both + int((labels & person).sum()), person_either + int((labels | person).sum())
    assert len(dataset.samples) == 20 and found.manifest.method == "schp-tiny"
    assert person_both / person_either > 0.9
    assert both / either > 0.88
    assert found.manifest.metrics["clothes_share"] == pytest.approx(truth.manifest.metrics["clothes_share"], abs=0.04)
