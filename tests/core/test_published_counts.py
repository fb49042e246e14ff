"""Every count that `datasets verify` compares with, typed again: a slip of the pen in a layout's table would fail whole copies."""

from __future__ import annotations

import pytest

from reidclip import registry

# layout -> what: number and mark. C counted from file lists, R the reference program, T measured on the release, S arithmetic, G hearsay.
PUBLISHED = {
    "prcc": """
        train: identities 150 C | train: images 17896 C | train: clothes 300 C | train: cameras 3 C
        train, camera A: images 5952 C | train, camera B: images 5317 C | train, camera C: images 6627 C
        val: identities 150 G | val: images 5002 S | val: clothes 300 G
        test-A: identities 71 R | test-B: identities 71 R | test-C: identities 71 R
        test-A: images 3384 R | test-B: images 3873 R | test-C: images 3543 R
        test-A + test-B + test-C: clothes 142 R | test-A + test-B + test-C: cameras 3 R
        all: identities 221 T | all: images 33698 T | all: clothes 442 T | all: cameras 3 T
    """,
    "ltcc": """
        train: identities 77 C | train: images 9576 C | train: clothes 256 C | train: cameras 12 C
        train, camera 1: images 521 C | train, camera 2: images 941 C | train, camera 3: images 436 C | train, camera 4: images 1078 C
        train, camera 5: images 798 C | train, camera 6: images 1276 C | train, camera 7: images 229 C | train, camera 8: images 500 C
        train, camera 9: images 1674 C | train, camera 10: images 619 C | train, camera 11: images 923 C | train, camera 12: images 581 C
        train, clothes change: identities 46 C | train, clothes change: images 8367 C | train, clothes change: clothes 225 C
        train, constant clothes: identities 31 C | train, constant clothes: images 1209 C | train, constant clothes: clothes 31 C
        query: identities 75 T | query: images 493 T
        gallery: identities 75 T | gallery: images 7050 T | gallery: cameras 12 T
        query + gallery: clothes 221 T
        query + gallery, clothes change: identities 45 T | query + gallery, constant clothes: identities 30 T
        all: identities 152 T | all: images 17119 T | all: clothes 477 T | all: cameras 12 T
        all, clothes change: identities 91 T | all, constant clothes: identities 61 T
        all, clothes change: images 14783 T | all, constant clothes: images 2336 T
    """,
    "vcclothes": """
        train: identities 256 G | train: images 9449 G | train: cameras 4 G
        query: identities 256 G | query: images 1020 G | gallery: identities 256 G | gallery: images 8591 G
        all: identities 512 T | all: images 19060 T | all: cameras 4 T
    """,
    "market1501": """
        train: identities 751 R | train: images 12936 R | train: cameras 6 R
        query: identities 750 R | query: images 3368 R | gallery: images 15913 R
        gallery, people: identities 750 T | gallery, people: images 13115 T | gallery, distractors: images 2798 T
        query + gallery: cameras 6 T | left out, junk: images 3819 T
    """,
    "msmt17": """
        train + val: identities 1041 R | train: images 30248 R | val: images 2373 R | train + val: images 32621 R
        train + val: cameras 15 R
        query: identities 3060 R | query: images 11659 R | gallery: identities 3060 R | gallery: images 82161 R
        query + gallery: cameras 15 R
    """,
    "deepchange": """
        train: identities 450 T | train: images 75083 G
        val-query + val-gallery: identities 150 T | val-query: images 4976 G | val-gallery: images 17865 G
        query + gallery: identities 521 T | query: images 17527 G | gallery: images 62956 G
        all: identities 1121 R | all: images 178407 R | all: cameras 17 R
    """,
    "last": """
        train: identities 5000 R | train: images 71248 R
        val-query: identities 56 R | val-query: images 100 R
        val-gallery, people: identities 56 R | val-gallery: images 21279 R | val-gallery, interference: images 20000 T
        query: identities 5805 R | query: images 10176 R
        gallery: identities (5,806, or 5,807 if id 000000 is counted) 5806 R | gallery: folders 5808 T
        gallery: images 125353 R | gallery, interference: images 20275 T
    """,
    "ccvid": """
        train: identities 75 T | train: tracklets 948 T | train: clothes 159 T
        query: identities 151 T | query: tracklets 834 T | gallery: identities 151 T | gallery: tracklets 1074 T
        query + gallery: clothes 321 T
        all: identities 226 S | all: tracklets 2856 T | all: frames 347833 T
    """,
    "celeb_reid": """
        Celeb-reID, train: identities 632 R | Celeb-reID, train: images 20208 R
        Celeb-reID, query: identities 420 R | Celeb-reID, query: images 2972 R
        Celeb-reID, gallery: identities 420 R | Celeb-reID, gallery: images 11006 R
        Celeb-reID-light, train: identities 490 R | Celeb-reID-light, train: images 9021 R
        Celeb-reID-light, query: identities 100 R | Celeb-reID-light, query: images 887 R
        Celeb-reID-light, gallery: identities 100 R | Celeb-reID-light, gallery: images 934 R
    """,
    "ccda": "query + gallery: identities 100 G | query + gallery: images 1555 G",
    "cuhk02": """
        pair 1: identities 971 R | pair 2: identities 306 R | pair 3: identities 107 R | pair 4: identities 193 R | pair 5: identities 239 R
        train: identities 1577 S | query: identities 239 R | gallery: identities 239 R
        all: identities 1816 R | all: images 7264 G | all: cameras 10 R
    """,
    "cuhk03": """
        train: identities 767 T | train: images 7368 T
        query: identities 700 T | query: images 1400 T | gallery: identities 700 T | gallery: images 5328 T
        train-detected: identities 767 T | train-detected: images 7365 T
        query-detected: identities 700 T | query-detected: images 1400 T
        gallery-detected: identities 700 T | gallery-detected: images 5332 T
        labelled: images 14096 T | detected: images 14097 T | all: identities 1467 S | all: cameras 2 R
    """,
    "cuhk_sysu": "all: identities 11934 R | all: images 34574 R",
    "prid": """
        camera A: images 385 R | camera B: images 749 R | camera B: identities 749 R | both cameras: identities 200 R | all: cameras 2 R
    """,
    "grid": """
        probe: identities 250 R | probe: images 250 R | gallery: images 1025 R
        gallery, people: identities 250 R | gallery, distractors: images 775 S | all: cameras 8 R
    """,
    "viper": "all: identities 632 R | all: images 1264 R | all: cameras 2 R",
    "ilids": "all: identities 119 R | all: images 476 R",
}


@pytest.mark.parametrize("layout", PUBLISHED)
def test_numbers_and_marks(layout: str) -> None:
    expected = {row.strip() for line in PUBLISHED[layout].splitlines() for row in line.split("|") if row.strip()}
    assert {f"{row.what} {row.value} {row.status}" for row in registry.get("reidclip.layouts", layout).published} == expected


def test_every_layout_that_publishes_counts_is_typed_here() -> None:
    publishing = {info.name for info in registry.all_infos("reidclip.layouts") if info.object is not None and info.object.published}
    assert publishing == set(PUBLISHED)


@pytest.mark.parametrize(
    ("layout", "whole", "parts"),
    [
        ("prcc", "train: images", ["train, camera A: images", "train, camera B: images", "train, camera C: images"]),
        ("prcc", "all: images", ["train: images", "val: images", "test-A: images", "test-B: images", "test-C: images"]),
        ("prcc", "all: clothes", ["train: clothes", "test-A + test-B + test-C: clothes"]),
        ("ltcc", "all: identities", ["all, clothes change: identities", "all, constant clothes: identities"]),
        ("ltcc", "all: clothes", ["train: clothes", "query + gallery: clothes"]),
        ("ltcc", "train: clothes", ["train, clothes change: clothes", "train, constant clothes: clothes"]),
        ("vcclothes", "all: images", ["train: images", "query: images", "gallery: images"]),
        ("market1501", "gallery: images", ["gallery, people: images", "gallery, distractors: images"]),
        ("msmt17", "train + val: images", ["train: images", "val: images"]),
        ("deepchange", "all: identities", ["train: identities", "val-query + val-gallery: identities", "query + gallery: identities"]),
        ("deepchange", "all: images", ["train: images", "val-query: images", "val-gallery: images", "query: images", "gallery: images"]),
        ("ccvid", "all: tracklets", ["train: tracklets", "query: tracklets", "gallery: tracklets"]),
        ("ccvid", "all: identities", ["train: identities", "gallery: identities"]),
        ("cuhk02", "all: identities", [f"pair {pair}: identities" for pair in (1, 2, 3, 4, 5)]),
        ("cuhk02", "all: identities", ["train: identities", "query: identities"]),
        ("cuhk03", "labelled: images", ["train: images", "query: images", "gallery: images"]),
        ("cuhk03", "detected: images", ["train-detected: images", "query-detected: images", "gallery-detected: images"]),
        ("cuhk03", "all: identities", ["train: identities", "query: identities"]),
    ],
)
def test_parts_add_up(layout: str, whole: str, parts: list[str]) -> None:
    numbers = {row.what: row.value for row in registry.get("reidclip.layouts", layout).published}
    assert sum(numbers[part] for part in parts) == numbers[whole]
