"""The program that makes a data set to choose rates on, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from reidclip.data.open import open_dataset
from tests.fakes import REPOSITORY, write_prcc

PROGRAM = REPOSITORY / "examples" / "ablation" / "tuning_split.py"


def split(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(PROGRAM), *map(str, words)], capture_output=True, text=True, check=False)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_training_people_become_test_people_and_no_test_person_is_seen(tmp_path: Path) -> None:
    data = write_prcc(tmp_path / "prcc")
    people = sorted(p.name for p in (data / "rgb" / "train").iterdir())
    maps = data / "parsing" / "rgb" / "train" / people[-1]
    maps.mkdir(parents=True)
    (maps / "C_cropped_rgb001.png").write_bytes(b"map")
    rows = [
        {"path": f"rgb/{part}", "parsing": "old", "subset": "old"}
        for part in (f"train/{people[-1]}/C_cropped_rgb001.jpg", "test/C/001/x.jpg")
    ]
    (data / "attributes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = split(data, tmp_path / "tuning", "--people", "2")
    assert done.returncode == 0 and f"{len(people) - 2} people to train on, 2 to test on" in done.stdout, done.stderr
    dataset = open_dataset(tmp_path / "tuning", "prcc")
    assert len(dataset.samples) == len([name for name in files(data / "rgb" / "train")])
    assert {p.name for p in (tmp_path / "tuning" / "rgb" / "train").iterdir()} == set(people[:-2])
    assert {p.name for p in (tmp_path / "tuning" / "rgb" / "test" / "C").iterdir()} == set(people[-2:])
    before, after = files(data / "rgb" / "train"), files(tmp_path / "tuning" / "rgb")
    for person in people[-2:]:
        for name, content in before.items():
            if name.startswith(f"{person}/"):
                camera, _, rest = Path(name).name.partition("_")
                assert after[f"test/{camera}/{person}/{rest}"] == content
    place = f"test/C/{people[-1]}/cropped_rgb001"
    (row,) = map(json.loads, (tmp_path / "tuning" / "attributes.jsonl").read_text().splitlines())
    assert row == {"path": f"rgb/{place}.jpg", "parsing": f"parsing/rgb/{place}.png", "subset": "test"}
    assert (tmp_path / "tuning" / "parsing" / "rgb" / "test" / "C" / people[-1] / "cropped_rgb001.png").read_bytes() == b"map"


def test_wrong_calls_name_the_folder_and_write_nothing(tmp_path: Path) -> None:
    data = write_prcc(tmp_path / "prcc")
    for words, named in (
        ((tmp_path, tmp_path / "out"), "PRCC"),
        ((data, tmp_path / "out", "--people", "4"), "--people 4"),
        ((data, tmp_path / "out", "--people", "0"), "--people 0"),
        ((data, data, "--people", "2"), "exists"),
    ):
        done = split(*words)
        assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()
