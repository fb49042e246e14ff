"""Small data sets on disk for the tests, built name by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

PRCC_FILES = (
    "rgb/train/092/A_cropped_rgb001.jpg",
    "rgb/train/092/A_cropped_rgb1002.jpg",
    "rgb/train/092/B_cropped_rgb001.jpg",
    "rgb/train/092/C_cropped_rgb001.jpg",
    "rgb/train/095/A_cropped_rgb010.jpg",
    "rgb/train/095/C_cropped_rgb010.jpg",  # no camera B, as id 220 of the real set
    "rgb/train/101/A_cropped_rgb005.jpg",
    "rgb/train/101/B_cropped_rgb005.jpg",
    "rgb/train/101/C_cropped_rgb005.jpg",
    "rgb/val/092/B_cropped_rgb100.jpg",
    "rgb/val/101/C_cropped_rgb100.jpg",
    "rgb/test/A/001/cropped_rgb001.jpg",
    "rgb/test/A/001/cropped_rgb002.jpg",
    "rgb/test/A/300/cropped_rgb001.jpg",
    "rgb/test/B/001/cropped_rgb001.jpg",
    "rgb/test/B/300/cropped_rgb1.jpg",
    "rgb/test/C/001/cropped_rgb001.jpg",
    "rgb/test/C/300/cropped_rgb001.jpg",
)

LTCC_FILES = (
    "train/000_1_c1_000010.png",
    "train/000_1_c2_000011.png",
    "train/000_10_c12_000030.png",
    "train/000_2_c3_000020.png",
    "train/001_1_c2_000040.png",  # constant clothes
    "train/001_1_c4_000041.png",
    "train/014_11_c2_015861.png",
    "train/014_3_c1_000050.png",
    "query/005_1_c1_000100.png",
    "query/151_1_c5_000101.png",  # constant clothes
    "test/005_1_c1_000110.png",
    "test/005_12_c4_000111.png",
    "test/005_1_c2_000112.png",
    "test/005_2_c3_000113.png",
    "test/151_1_c1_000114.png",
)

VCCLOTHES_FILES = (
    "train/0001-01-01-01.jpg",
    "train/0001-02-02-01.jpg",
    "train/0001-04-10-02.jpg",
    "train/0003-02-01-03.jpg",
    "train/0003-03-01-04.jpg",
    "train/0010-04-02-01.jpg",
    "train/0010-04-02-02.jpg",
    "query/0002-02-01-01.jpg",
    "query/0002-03-01-01.jpg",
    "query/0300-04-02-01.jpg",
    "gallery/0002-02-01-02.jpg",
    "gallery/0002-03-01-02.jpg",
    "gallery/0002-04-03-02.jpg",
    "gallery/0300-01-02-02.jpg",
    "gallery/0300-03-01-02.jpg",
)

MARKET1501_FILES = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000452_01.jpg",
    "bounding_box_train/0007_c3s3_077419_03.jpg",
    "bounding_box_train/0007_c6s1_000453_11.jpg",
    "bounding_box_train/1500_c4s6_000454_01.jpg",
    "bounding_box_train/1500_c5s6_000455_02.jpg.jpg",  # as in some mirrors
    "query/0001_c1s1_001051_00.jpg",
    "query/1501_c6s4_001877_00.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/-1_c6s2_000402_01.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/0001_c1s1_001052_01.jpg",
    "bounding_box_test/0001_c2s1_000301_00.jpg",
    "bounding_box_test/1501_c3s3_064744_04.jpg",
)

# list -> (folder of version 1, lines)
MSMT17_LISTS = {
    "train": (
        "train",
        (
            "0000/0000_000_01_0303morning_0015_0.jpg 0",
            "0000/0000_001_15_0303noon_0016_1.jpg 0",
            "0002/0002_000_03_0303morning_0020_0.jpg 2",
            "0002/0002_001_04_0303morning_0021_0.jpg 2",
        ),
    ),
    "val": ("train", ("0000/0000_002_05_0303afternoon_0017_0.jpg 0",)),
    "query": ("test", ("0000/0000_000_01_0113morning_0003_0.jpg 0", "0001/0001_000_02_0113morning_0004_0.jpg 1")),
    "gallery": (
        "test",
        ("0000/0000_001_14_0113morning_0005_0.jpg 0", "0000/0000_002_01_0113noon_0006_0.jpg 0", "0001/0001_001_03_0113noon_0007_2.jpg 1"),
    ),
}

# folder -> lines of its list; the folders hold one more picture, which no list names
DEEPCHANGE_LISTS = {
    "train-set": (
        "p0001_c01_20200813_154757_000038_bbox.jpg,4",
        "p0001_c17_20200813_161500_000001_bbox.jpg,5",
        "P0001_c02_20201101_090000_000007_bbox.jpg,6",
        "p0010_c02_20200813_154757_000040_bbox.jpg,7",
        "p0010_c03_20210101_154757_000041_bbox.jpg,8",
    ),
    "val-set-query": ("p0300_c04_20200814_100000_000001_bbox.jpg,0",),
    "val-set-gallery": ("p0300_c04_20200815_100000_000002_bbox.jpg,1",),
    "test-set-query": ("p0702_c13_20200813_154757_000038_bbox.jpg,12", "p0703_c05_20200901_110000_000001_bbox.jpg,20"),
    "test-set-gallery": (
        "p0702_c13_20200813_154757_000041_bbox.jpg,12",  # the query's own tracklet
        "p0702_c13_20200813_170000_000002_bbox.jpg,13",  # its camera, another tracklet
        "p0702_c02_20201224_080000_000003_bbox.jpg,14",
        "p0703_c05_20200902_110000_000009_bbox.jpg,21",
    ),
}

LAST_FILES = (
    "train/000051/000051_003_00013_0270_04_001.jpg",
    "train/000051/000051_004_00013_0280_04_010.jpg",
    "train/000051/000051_005_00014_0290_04_002.jpg",
    "train/000099/000099_001_00020_0001_01_001.jpg",
    "train/000099/000099_002_00021_0002_01_001.jpg",
    "val/query/000007_001_00001_0001_01_000.jpg",
    "val/gallery/000007/000007_002_00001_0002_01_000.jpg",
    "val/gallery/000000/000000_001_00001_0003_01_000.jpg",
    "test/query/005859__001_00050_0001_01_000.jpg",  # two underscores, as some of the release
    "test/query/005895_001_00051_0001_01_000.jpg",
    "test/gallery/000000/000000_001_00050_0002_01_000.jpg",
    "test/gallery/005895/005895_002_00051_0002_01_000.jpg",
    "test/gallery/005895/005859__002_00050_0003_01_000.jpg",  # another person than the folder's
)

# list -> (tracklet, identity, clothes, frames)
CCVID_LISTS = {
    "train": (
        ("session1/001_01", "001", "u0_l0_s0_c0_a0", 3),
        ("session1/001_02", "001", "u0_l0_s0_c0_a0", 1),
        ("session2/001_01", "001", "u1_l1_s1_c0_a0", 2),
        ("session1/010_12", "010", "u0_l0_s0_c0_a0", 2),
        ("session3/010_12", "010", "u2_l1_s1_c0_a0", 2),
    ),
    "query": (("session1/002_01", "002", "u0_l0_s0_c0_a0", 2), ("session1/003_02", "003", "u0_l0_s0_c0_a0", 1)),
    "gallery": (
        ("session1/002_02", "002", "u0_l0_s0_c0_a0", 2),
        ("session2/002_01", "002", "u1_l0_s0_c0_a0", 1),
        ("session3/002_01", "002", "u1_l0_s0_c0_a0", 2),
        ("session1/003_01", "003", "u0_l0_s0_c0_a0", 2),
    ),
}

# numbers of training and test people overlap; second fields of several digits share a leading one
CELEB_REID_FILES = (
    "train/1_1_0.jpg",
    "train/1_2_1.jpg",
    "train/1_10_0.jpg",
    "train/2_1_0.jpg",
    "train/2_3_0.jpg",
    "train/10_1_2.jpg",
    "train/10_4_2.jpg",
    "query/1_1_0.jpg",
    "query/1_12_3.jpg",
    "query/2_3_0.jpg",
    "gallery/1_1_1.jpg",
    "gallery/1_2_0.jpg",
    "gallery/1_19_3.jpg",
    "gallery/2_3_0.jpg",
    "gallery/2_4_1.jpg",
)

CCDA_FILES = (
    "query/7_1_walk.jpg",
    "query/12_30_sit.jpg",
    "gallery/-1_1_walk.jpg",  # junk
    "gallery/7_1_stand.jpg",
    "gallery/7_2_walk.jpg",
    "gallery/12_4_sit.jpg",
    "train/7_2_walk.jpg",
    "train/8_1_walk.jpg",
    "train/9_1_walk.jpg",
)

FOLDER_ROWS = (
    ("a/1.jpg", 7, 0, 70, "train"),
    ("a/2.jpg", 9, 1, 90, "train"),
    ("a/3.jpg", 7, 1, 70, "val"),
    ("b/1.jpg", 1, 0, 10, "query"),
    ("b/2.jpg", 1, 1, 10, "gallery"),
    ("b/3.jpg", 1, 1, 11, "gallery"),
    ("b/4.jpg", 2, 1, 20, "gallery"),
)


CUHK02_FILES = (
    "P1/cam1/001_045.png",
    "P1/cam1/001_090.png",
    "P1/cam2/001_180.png",
    "P1/cam1/010_045.png",
    "P1/cam2/010_135.png",
    "P4/cam1/001_045.png",  # another person than the first pair's
    "P4/cam2/001_090.png",
    "P5/cam1/001_000.png",
    "P5/cam1/002_000.png",
    "P5/cam2/001_090.png",
    "P5/cam2/002_090.png",
)

CUHK_SYSU_FILES = ("p1_s1_1.jpg", "p1_s2_1.jpg", "p2_s2_2.jpg", "p11422_s16929_1.jpg")

# people 3 and 4 are before both cameras; above 200 the numbers mean different people
PRID_FILES = (
    *(f"cam_a/person_{pid:04d}.png" for pid in (3, 4, 7, 9, 201, 385)),
    *(f"cam_b/person_{pid:04d}.png" for pid in (3, 4, 7, 9, 201, 300, 749)),
)

# person -> their cameras in probe and gallery; person 0 is everybody else
GRID_PEOPLE = {1: (1, 2), 2: (3, 4), 3: (5, 8), 5: (1, 6)}
GRID_FILES = (
    *(f"probe/{pid:04d}_{cameras[0]}_25004_107_32_106_221.jpeg" for pid, cameras in GRID_PEOPLE.items()),
    *(f"gallery/{pid:04d}_{cameras[1]}_25023_116_134_128_330.jpeg" for pid, cameras in GRID_PEOPLE.items()),
    "gallery/0000_1_26000_1_2_3_4.jpeg",
    "gallery/0000_7_26001_1_2_3_4.jpeg",
)
GRID_TRAINING = ((1, 2), (1, 3), (5, 2))  # the people of each published division

# the same place in the two folders is one person; names say the angle
VIPER_FILES = (
    *(f"cam_a/{name}.bmp" for name in ("000_45", "001_0", "005_90", "010_45")),
    *(f"cam_b/{name}.bmp" for name in ("000_0", "001_90", "005_180", "010_135")),
)

ILIDS_FILES = tuple(
    f"Persons/{pid:04d}{number:03d}.jpg" for pid, pictures in ((1, 2), (2, 4), (3, 3), (7, 2)) for number in range(1, pictures + 1)
)


def picture(seed: int, height: int = 32, width: int = 16) -> np.ndarray:
    """Noise, uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_picture(path: Path, seed: int = 0, height: int = 32, width: int = 16) -> Path:
    """Write noise as a picture, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, height, width)).save(path)
    return path


def write_pictures(root: Path, names: Iterable[str]) -> Path:
    """Write one picture per relative path."""
    for seed, name in enumerate(names):
        write_picture(root / name, seed)
    return root


def prcc(root: Path, extra: Iterable[str] = ()) -> Path:
    """A PRCC with three training and two test identities, and ``extra`` files."""
    return write_pictures(root, (*PRCC_FILES, *extra))


def ltcc(root: Path, extra: Iterable[str] = ()) -> Path:
    """An LTCC with three training and two test identities, one of each with constant clothes."""
    return write_pictures(root, (*LTCC_FILES, *extra))


def vcclothes(root: Path, extra: Iterable[str] = ()) -> Path:
    """A VC-Clothes with three training and two test identities under all four cameras."""
    return write_pictures(root, (*VCCLOTHES_FILES, *extra))


def market1501(root: Path, extra: Iterable[str] = ()) -> Path:
    """A Market-1501 with three training and two test identities, one distractor and two junk pictures."""
    return write_pictures(root, (*MARKET1501_FILES, *extra))


def msmt17(root: Path, train: str = "train", test: str = "test") -> Path:
    """An MSMT17 with two training and two test identities whose numbers overlap; version 2 names its folders mask_{train,test}_v2."""
    folders = {"train": train, "test": test}
    for split, (folder, lines) in MSMT17_LISTS.items():
        write_pictures(root, (f"{folders[folder]}/{line.split()[0]}" for line in lines))
        (root / f"list_{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def deepchange(root: Path) -> Path:
    """A DeepChange with two training, one validation and two test identities; each folder holds a picture that no list names."""
    for number, (name, lines) in enumerate(DEEPCHANGE_LISTS.items()):
        unlisted = f"p0999_c01_20200813_154757_00000{number}_bbox.jpg"
        write_pictures(root, (f"{name}/{picture}" for picture in (*(line.split(",")[0] for line in lines), unlisted)))
        (root / f"{name}-bbox.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return root


def last(root: Path, extra: Iterable[str] = ()) -> Path:
    """A LaST with two training, one validation and two test identities, and people of the background in both galleries."""
    return write_pictures(root, (*LAST_FILES, *extra))


def ccvid(root: Path) -> Path:
    """A CCVID with two training and two test identities; tracklets of one to three frames."""
    seeds = iter(range(1000))
    for split, lines in CCVID_LISTS.items():
        for tracklet, _, _, frames in lines:
            for frame in range(1, frames + 1):
                write_picture(root / tracklet / f"{frame:05d}.jpg", next(seeds))
        (root / f"{split}.txt").write_text("".join(f"{t}\t{pid}\t{clothes}\n" for t, pid, clothes, _ in lines), encoding="utf-8")
    return root


def celeb_reid(root: Path, extra: Iterable[str] = ()) -> Path:
    """A Celeb-reID with three training and two test identities, other people of the same numbers."""
    return write_pictures(root, (*CELEB_REID_FILES, *extra))


def ccda(root: Path, extra: Iterable[str] = ()) -> Path:
    """A CCDA with three training and two test identities, and a junk picture; its names are not Celeb-reID's."""
    return write_pictures(root, (*CCDA_FILES, *extra))


def cuhk02(root: Path, extra: Iterable[str] = ()) -> Path:
    """A CUHK02 with three training people in two pairs of cameras and two test people."""
    return write_pictures(root, (*CUHK02_FILES, *extra))


def cuhk_sysu(root: Path, extra: Iterable[str] = ()) -> Path:
    """CUHK-SYSU's crops of three people."""
    return write_pictures(root, (f"cropped_images/{name}" for name in (*CUHK_SYSU_FILES, *extra)))


def prid(root: Path, extra: Iterable[str] = ()) -> Path:
    """A PRID with four people before both cameras, two more before the first and three before the second."""
    return write_pictures(root, (*PRID_FILES, *extra))


def grid(root: Path) -> Path:
    """A GRID with four people, two distractors and three divisions in the published structure."""
    from scipy.io import savemat

    write_pictures(root, GRID_FILES)
    divisions = np.empty((1, len(GRID_TRAINING)), object)
    for number, train in enumerate(GRID_TRAINING):
        divisions[0, number] = {"features": np.zeros((1, 2)), "testIdx": np.array([[9]]), "trainIdx": np.array([train])}
    savemat(root / "features_and_partitions.mat", {"trainIdxAll": divisions})
    return root


def viper(root: Path, extra: Iterable[str] = ()) -> Path:
    """A VIPeR with four people."""
    return write_pictures(root, (*VIPER_FILES, *extra))


def ilids(root: Path, extra: Iterable[str] = ()) -> Path:
    """An i-LIDS with four people of two to four pictures."""
    return write_pictures(root, (*ILIDS_FILES, *extra))


def table(rows: Iterable[Iterable[object]], header: str = "path,pid,camid,clothes_id,split") -> str:
    """CSV text."""
    return "\n".join([header, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n"


def folder(root: Path, text: str | None = None, name: str = "index.csv") -> Path:
    """Pictures of `FOLDER_ROWS` and a table, by default theirs."""
    write_pictures(root, (str(row[0]) for row in FOLDER_ROWS))
    (root / name).write_text(table(FOLDER_ROWS) if text is None else text, encoding="utf-8")
    return root
