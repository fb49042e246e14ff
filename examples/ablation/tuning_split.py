"""Make a data set to choose rates on: some training people of a PRCC-layout set become its test people.

Rates that are chosen on test people are fitted to them. This copies no picture (hard links, or copies across file systems), and takes label
maps along. The last people by name are held out, so the split needs no seed.

Example: python examples/ablation/tuning_split.py data/synthcc data/synthcc-tuning --people 60
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

CAMERAS = ("A", "B", "C")


def main() -> int:
    """Read the command line and make the tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="root of a PRCC-layout data set")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--people", type=int, default=60, help="training people to hold out (default: 60)")
    options = parser.parse_args()
    train = options.data / "rgb" / "train"
    if not train.is_dir():
        print(f"{train} is missing: {options.data} is no data set in PRCC's layout.", file=sys.stderr)
        return 2
    people = sorted(folder.name for folder in train.iterdir() if folder.is_dir())
    if not 0 < options.people < len(people):
        print(f"--people {options.people}: {train} has {len(people)} people, and both parts need some.", file=sys.stderr)
        return 2
    if options.out.exists():
        print(f"{options.out} exists. Name another folder, or remove it.", file=sys.stderr)
        return 2
    unfinished = options.out.with_name(options.out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for root in ("rgb", "parsing/rgb"):
        if (options.data / root / "train").is_dir():
            split(options.data / root, unfinished / root, people, set(people[-options.people :]))
    if (options.data / "attributes.jsonl").is_file():
        carry_attributes(options.data / "attributes.jsonl", unfinished / "attributes.jsonl", set(people[-options.people :]))
    unfinished.rename(options.out)
    print(f"{options.out}: {len(people) - options.people} people to train on, {options.people} to test on")
    return 0


def split(source: Path, target: Path, people: list[str], held_out: set[str]) -> None:
    """Link ``train/PERSON/CAMERA_NAME`` to the same place, or to ``test/CAMERA/PERSON/NAME`` if the person is held out."""
    for person in people:
        folder = source / "train" / person
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():  # label maps may be there for some only
            place = place_of(person, file.name, held_out)
            if place is not None:
                link(file, target / place)


def place_of(person: str, name: str, held_out: set[str]) -> Path | None:
    """Where a training picture lies in the new set; None for a held-out one of no camera."""
    if person not in held_out:
        return Path("train") / person / name
    camera, _, rest = name.partition("_")
    return Path("test") / camera / person / rest if camera in CAMERAS else None


def carry_attributes(source: Path, target: Path, held_out: set[str]) -> None:
    """The rows of rendered training pictures, with their new places."""
    with source.open(encoding="utf-8") as before, target.open("w", encoding="utf-8") as after:
        for row in map(json.loads, before):
            split_name, person, name = Path(row["path"]).parts[-3:]
            place = place_of(person, name, held_out) if split_name == "train" else None
            if place is not None:
                maps = Path("parsing") / "rgb" / place.with_suffix(".png")
                row |= {"path": (Path("rgb") / place).as_posix(), "parsing": maps.as_posix(), "subset": place.parts[0]}
                after.write(json.dumps(row) + "\n")


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


if __name__ == "__main__":
    raise SystemExit(main())
