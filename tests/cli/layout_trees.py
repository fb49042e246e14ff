"""A data set of drawn people in the tree of each layout, small enough to train on in a test, with what is known of it by hand.

Labels stand in the tables here as numbers; nothing of the toolkit's readers is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from tests.fakes import draw_person


@dataclass(frozen=True)
class Shot:
    """One picture: where it lies, who is on it, in which outfit, before which camera (0-based); ``part`` it plays in the data set.

    A tracklet is a folder of ``frames`` pictures. ``key`` is what the rules take for the camera, where it is not the camera;
    ``keys`` what they take by protocol, where protocols differ in it.
    """

    path: str
    pid: int
    outfit: int
    camera: int
    part: str  # train, val, query, gallery, or "" for what every program leaves out
    frames: int = 0
    key: int | None = None
    keys: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def files(self) -> list[str]:
        """Its pictures."""
        return [f"{self.path}/{n:05d}.jpg" for n in range(1, self.frames + 1)] or [self.path]


@dataclass(frozen=True)
class Expected:
    """What a protocol compares: queries, those with a match, gallery; and its rule, for the tests' own ranking."""

    rule: str
    queries: int
    valid: int
    gallery: int
    query_part: str = "query"
    cameras: frozenset[int] | None = None
    single_shot: bool = False
    gallery_part: str = "gallery"
    true_camera: bool = False
    key: str = ""


@dataclass(frozen=True)
class Tree:
    """A data set.

    Attributes:
        method: trained on it.
        settings: of both training commands, beyond the small ones.
        texts: further files, relative path -> content.
    """

    name: str
    shots: tuple[Shot, ...]
    protocols: Mapping[str, Expected]
    method: str = "ccaf"
    prompt_settings: tuple[str, ...] = ()
    finetune_settings: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        """All files; no two pictures are alike."""
        files = [(shot, name) for shot in self.shots for name in shot.files]
        for number, (shot, name) in enumerate(files):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture, _ = draw_person(max(shot.pid, 0), max(shot.outfit, 0), shot.camera, number)
            Image.fromarray(picture).save(path, quality=95)
        for name, text in self.texts.items():
            (root / name).write_text(text, encoding="utf-8")
        return root

    def part(self, *parts: str) -> list[Shot]:
        """Its pictures that play one of these parts."""
        return [shot for shot in self.shots if shot.part in parts]


def _prcc() -> Tree:
    shots = [
        Shot(f"rgb/train/{pid:03d}/{letter}_cropped_rgb{n:03d}.jpg", pid, int(letter == "C"), camera, "train")
        for pid in (2, 5, 7)
        for camera, letter in enumerate("ABC")
        for n in (1, 2)
    ]
    shots.append(Shot("rgb/val/002/B_cropped_rgb009.jpg", 2, 0, 1, "val"))
    parts = {"A": ("gallery", 2), "B": ("same", 1), "C": ("query", 2)}  # camera -> its part, pictures per person
    shots += [
        Shot(f"rgb/test/{letter}/{pid:03d}/cropped_rgb{n + 1:03d}.jpg", pid, int(letter == "C"), "ABC".index(letter), part)
        for pid in (1, 3)
        for letter, (part, pictures) in parts.items()
        for n in range(pictures)
    ]
    protocols = {
        "same-clothes": Expected("std", 2, 2, 4, query_part="same"),
        "cloth-changing": Expected("std", 4, 4, 4),
        "same-clothes-single-shot": Expected("std", 2, 2, 4, query_part="same", single_shot=True),
        "cloth-changing-single-shot": Expected("std", 4, 4, 4, single_shot=True),
    }
    return Tree("prcc", tuple(shots), protocols)


def _ltcc() -> Tree:
    def shot(folder: str, part: str, pid: int, outfit: int, camera: int, frame: int) -> Shot:
        return Shot(f"{folder}/{pid:03d}_{outfit}_c{camera}_{frame:06d}.png", pid, outfit, camera - 1, part)

    train = [(0, 1, 1), (0, 1, 2), (0, 10, 12), (0, 2, 3), (1, 1, 2), (1, 1, 4), (14, 11, 2), (14, 3, 1)]
    query = [(5, 1, 1), (151, 1, 5), (5, 2, 3)]  # 151 never changes
    gallery = [(5, 1, 1), (5, 1, 2), (5, 2, 3), (5, 12, 4), (151, 1, 1), (151, 1, 5)]
    shots = [shot("train", "train", *who, frame) for frame, who in enumerate(train)]
    shots += [shot("query", "query", *who, frame) for frame, who in enumerate(query, start=100)]
    shots += [shot("test", "gallery", *who, frame) for frame, who in enumerate(gallery, start=200)]
    protocols = {
        "general": Expected("std", 3, 3, 6),
        "same-clothes": Expected("sc", 3, 2, 6),  # the third has its outfit before its own camera alone
        "cloth-changing": Expected("cc", 3, 2, 6),  # the second never changes
    }
    return Tree("ltcc", tuple(shots), protocols)


def _vcclothes() -> Tree:
    def shot(folder: str, pid: int, camera: int, outfit: int, index: int) -> Shot:
        return Shot(f"{folder}/{pid:04d}-{camera:02d}-{outfit:02d}-{index:02d}.jpg", pid, outfit, camera - 1, folder)

    train = [(1, 1, 1), (1, 2, 2), (1, 3, 2), (1, 4, 10), (3, 2, 1), (3, 3, 1), (10, 4, 2), (10, 1, 2)]
    query = [(2, 2, 1), (2, 3, 1), (300, 4, 2), (500, 1, 1)]  # 500 is seen by one camera only
    gallery = [(2, 2, 1), (2, 3, 1), (2, 4, 3), (300, 1, 2), (300, 3, 1), (500, 1, 1)]
    shots = [
        shot(f, *who, index) for f, people in (("train", train), ("query", query), ("gallery", gallery)) for index, who in enumerate(people)
    ]
    protocols = {
        "general": Expected("std", 4, 3, 6),
        "same-clothes": Expected("std", 2, 2, 3, cameras=frozenset({1, 2})),
        "cloth-changing": Expected("std", 2, 2, 3, cameras=frozenset({2, 3})),
        "sc-labels": Expected("sc", 4, 3, 6),
        "cc-labels": Expected("cc", 4, 3, 6),
    }
    return Tree("vcclothes", tuple(shots), protocols)


WITHOUT_CLOTHES = (("clothes_prompts=false",), ("cfm=false",))
"""Settings of prompt-learn and finetune with which CCAF needs no clothes labels."""


def _market1501() -> Tree:
    def shot(folder: str, part: str, pid: int, camera: int, frame: int) -> Shot:
        name = "-1" if pid < 0 else f"{pid:04d}"
        return Shot(f"{folder}/{name}_c{camera}s1_{frame:06d}_01.jpg", pid, 0, camera - 1, part)

    train = [(2, 1), (2, 2), (7, 3), (7, 6), (1500, 4), (1500, 5)]
    query = [(1, 1), (1501, 6), (3, 2)]  # 3 is seen by one camera only
    gallery = [(0, 1), (0, 3), (1, 1), (1, 2), (1501, 3), (3, 2)]  # 0: distractors
    shots = [shot("bounding_box_train", "train", *who, frame) for frame, who in enumerate(train)]
    shots += [shot("query", "query", *who, frame) for frame, who in enumerate(query, start=100)]
    shots += [shot("bounding_box_test", "gallery", *who, frame) for frame, who in enumerate(gallery, start=200)]
    shots += [shot("bounding_box_test", "", -1, camera, 300) for camera in (1, 6)]
    return Tree("market1501", tuple(shots), {"general": Expected("std", 3, 2, 6)}, "ccaf", *WITHOUT_CLOTHES)


def _msmt17() -> Tree:
    def shot(folder: str, part: str, pid: int, camera: int, number: int) -> Shot:
        return Shot(f"{folder}/{pid:04d}/{pid:04d}_{number:03d}_{camera:02d}_0303morning_0015_{number}.jpg", pid, 0, camera - 1, part)

    people = {
        "train": ("train", [(0, 1), (0, 15), (1, 3), (1, 4)]),
        "val": ("train", [(0, 5), (1, 6)]),
        "query": ("test", [(0, 1), (1, 2)]),  # other people than those of training
        "gallery": ("test", [(0, 14), (0, 1), (1, 3), (1, 2)]),
    }
    shots = [shot(f, part, *who, n) for i, (part, (f, listed)) in enumerate(people.items()) for n, who in enumerate(listed, start=10 * i)]
    texts = {f"list_{part}.txt": "".join(f"{s.path.split('/', 1)[1]} {s.pid}\n" for s in shots if s.part == part) for part in people}
    joined = ('train_splits=["train","val"]',)  # as CLIP-ReID trains on MSMT17
    return Tree("msmt17", tuple(shots), {"general": Expected("std", 2, 2, 4)}, "clipreid", joined, joined, texts)


def _deepchange() -> Tree:
    def shot(folder: str, part: str, pid: int, camera: int, day: int, tracklet: int, frame: int) -> Shot:
        name = f"p{pid:04d}_c{camera:02d}_202008{day:02d}_154757_{frame:06d}_bbox.jpg"
        return Shot(f"{folder}/{name}", pid, day, camera - 1, part, key=tracklet)

    people = {  # folder -> part, (person, camera, day, tracklet)
        "train-set": ("train", [(1, 1, 1, 1), (1, 17, 2, 2), (3, 2, 1, 3), (3, 2, 3, 4)]),
        "val-set-query": ("val-query", [(5, 4, 1, 0)]),
        "val-set-gallery": ("val-gallery", [(5, 4, 2, 1), (5, 4, 1, 0)]),
        "test-set-query": ("query", [(700, 13, 1, 12), (701, 5, 1, 20)]),
        "test-set-gallery": ("gallery", [(700, 13, 1, 12), (700, 13, 1, 13), (701, 5, 2, 21), (701, 6, 3, 22)]),
    }
    shots = [shot(f, part, *who, 10 * i + n) for i, (f, (part, listed)) in enumerate(people.items()) for n, who in enumerate(listed)]
    texts = {f"{f}-bbox.txt": "".join(f"{s.path.split('/')[1]},{s.key}\n" for s in shots if s.path.startswith(f"{f}/")) for f in people}
    protocols = {
        "general": Expected("std", 2, 2, 4),
        "val": Expected("std", 1, 1, 2, query_part="val-query", gallery_part="val-gallery"),
        "general-true-camera": Expected("std", 2, 1, 4, true_camera=True),  # the first is seen by one camera alone
    }
    return Tree("deepchange", tuple(shots), protocols, "ccaf", texts=texts)


def _last() -> Tree:
    def shot(place: str, part: str, pid: int, outfit: int, number: int) -> Shot:
        return Shot(f"{place}/{pid:06d}_{number:03d}_00013_0270_04_{outfit:03d}.jpg", pid, outfit, 0, part)

    shots = [shot(f"train/{pid:06d}", "train", pid, outfit, n) for n, (pid, outfit) in enumerate([(51, 1), (51, 10), (99, 1), (99, 2)])]
    shots += [shot("val/query", "val-query", 7, 0, 10), shot("val/gallery/000007", "val-gallery", 7, 0, 11)]
    shots += [shot("val/gallery/000000", "val-gallery", 0, 0, 12)]
    shots += [shot("test/query", "query", pid, 0, 20 + n) for n, pid in enumerate([5859, 5895])]
    shots += [shot(f"test/gallery/{f:06d}", "gallery", pid, 0, 30 + n) for n, (f, pid) in enumerate([(5859, 5859), (5895, 5895), (0, 0)])]
    shots += [shot("test/gallery/005895", "gallery", 5859, 0, 40)]  # in another person's folder
    protocols = {
        "general": Expected("none", 2, 2, 4),
        "val": Expected("none", 1, 1, 2, query_part="val-query", gallery_part="val-gallery"),
    }
    return Tree("last", tuple(shots), protocols)


def _ccvid() -> Tree:
    def shot(part: str, session: int, pid: int, camera: int, outfit: int, frames: int) -> Shot:
        key = camera + 12 if session == 3 else camera
        return Shot(f"session{session}/{pid:03d}_{camera:02d}", pid, outfit, key, part, frames)

    people = {  # session, person, camera, outfit, frames
        "train": [(1, 1, 1, 0, 70), (2, 1, 1, 1, 9), (1, 10, 12, 0, 40), (3, 10, 12, 1, 1)],
        "query": [(1, 2, 1, 0, 33), (1, 3, 2, 0, 1)],
        "gallery": [(1, 2, 2, 0, 5), (2, 2, 1, 1, 8), (3, 2, 1, 1, 12), (1, 3, 1, 0, 4)],
    }
    shots = [shot(part, *who) for part, listed in people.items() for who in listed]
    texts = {f"{part}.txt": "".join(f"{s.path}\t{s.pid:03d}\tu{s.outfit}_l0\n" for s in shots if s.part == part) for part in people}
    protocols = {
        "general": Expected("std", 2, 2, 4),
        "same-clothes": Expected("sc", 2, 2, 4),
        "cloth-changing": Expected("cc", 2, 1, 4),  # the second never changes
    }
    return Tree("ccvid", tuple(shots), protocols, texts=texts)


def _celeb_reid() -> Tree:
    # name -> what the protocols take for the camera: first digit, whole number, place among the sorted names, third field
    people = {
        "train": {"1_1_0": (), "1_2_0": (), "2_1_0": (), "2_3_1": (), "3_1_0": (), "3_10_0": ()},
        "query": {"1_12_3": (1, 12, 0, 3), "1_1_0": (1, 1, 1, 0), "2_3_0": (3, 3, 2, 0)},
        "gallery": {
            "1_19_3": (1, 19, 0, 3),
            "1_1_1": (1, 1, 1, 1),
            "1_2_0": (2, 2, 2, 0),
            "2_30_1": (3, 30, 3, 1),
            "2_4_0": (4, 4, 4, 0),
        },
    }
    shots = [
        Shot(f"{part}/{name}.jpg", int(name[0]), 0, 0, part, keys=dict(zip("abcd", numbers, strict=False)))
        for part, named in people.items()
        for name, numbers in named.items()
    ]
    protocols = {f"celeb-{key}": Expected("std", 3, 3, 5, key=key) for key in "abcd"}
    return Tree("celeb_reid", tuple(shots), {**protocols, "celeb-nocam": Expected("none", 3, 3, 5)}, "ccaf", *WITHOUT_CLOTHES)


def _ccda() -> Tree:
    def shot(part: str, name: str, digit: int) -> Shot:
        return Shot(f"{part}/{name}.jpg", int(name.split("_")[0]), 0, digit, part if int(name.split("_")[0]) >= 0 else "")

    people = {
        "train": {"7_1_walk": 1, "7_2_walk": 2, "8_1_walk": 1, "8_30_sit": 3},
        "query": {"7_12_walk": 1, "12_3_sit": 3, "13_1_sit": 1},  # 13 has pictures of one leading digit only
        "gallery": {"7_1_sit": 1, "7_2_walk": 2, "12_45_sit": 4, "13_11_sit": 1, "-1_1_walk": 1},
    }
    shots = [shot(part, name, digit) for part, named in people.items() for name, digit in named.items()]
    return Tree("ccda", tuple(shots), {"general": Expected("std", 3, 2, 4)}, "ccaf", *WITHOUT_CLOTHES)


def _folder() -> Tree:
    rows = [
        *(("train", pid, camera, 10 * pid + camera) for pid in (7, 8, 9) for camera in (0, 1)),
        ("val", 7, 2, 70),
        ("query", 1, 0, 10),
        ("query", 2, 1, 20),
        ("gallery", 1, 0, 10),
        ("gallery", 1, 1, 11),
        ("gallery", 2, 0, 20),
        ("gallery", -1, 1, -1),  # nobody
    ]
    shots = tuple(Shot(f"{part}/{n}.png", pid, outfit, camera, part) for n, (part, pid, camera, outfit) in enumerate(rows))
    lines = [f"{s.path},{s.pid},{s.camera},{s.outfit if s.outfit >= 0 else ''},{s.part}\n" for s in shots]
    protocols = {
        "general": Expected("std", 2, 2, 4),
        "same-clothes": Expected("sc", 2, 1, 4),
        "cloth-changing": Expected("cc", 2, 1, 4),
    }
    return Tree("folder", shots, protocols, texts={"index.csv": "path,pid,camid,clothes_id,split\n" + "".join(lines)})


_ALL = (_prcc(), _ltcc(), _vcclothes(), _market1501(), _msmt17(), _deepchange(), _last(), _ccvid(), _celeb_reid(), _ccda(), _folder())
TREES = {tree.name: tree for tree in _ALL}
