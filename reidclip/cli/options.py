"""Options that several commands share, written once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

CacheKind = Literal["auto", "ram", "disk", "none"]

_COMMON = "Options common to all commands"
_SETTINGS = "Settings"

Data = Annotated[
    Path | None,
    typer.Argument(metavar="[DATA]", help="Folder of the data set. Default: the data of the newest fitting artifact.", show_default=False),
]
Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[DATA]...",
        help="Folder of the data set, or folders of several, which are joined. Default: the data of the newest fitting artifact.",
        show_default=False,
    ),
]
StoreDir = Annotated[
    Path, typer.Option("--store", envvar="REIDCLIP_STORE", help="Where artifacts are read and written.", rich_help_panel=_COMMON)
]
Dataset = Annotated[
    str | None,
    typer.Option("--dataset", help="Layout of the data (prcc, folder, ...). Default: recognised from the tree.", show_default=False),
]
Layouts = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        help="Layout of the data (prcc, folder, ...); for several folders once for all, or once for each in their order. Default: "
        "recognised from the tree.",
        show_default=False,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Name of the artifact that is written. Default: made from method and data set.", show_default=False),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file with settings, one table per command.", rich_help_panel=_SETTINGS, show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.", rich_help_panel=_SETTINGS, show_default=False),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe", help="Named settings of the method (see `reidclip plugins show METHOD`).", rich_help_panel=_SETTINGS, show_default=False
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.", rich_help_panel=_COMMON)]
Device = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1, mps; auto takes a GPU when there is one.", rich_help_panel=_COMMON)
]
Precision = Annotated[
    str, typer.Option("--precision", help="fp32, bf16 (autocast); on CUDA also tf32, fp16 (with loss scaling).", rich_help_panel=_COMMON)
]
SaveEvery = Annotated[
    float,
    typer.Option("--save-every", min=0, metavar="SECONDS", help="Keep the training state so often, besides at the end of every epoch."),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the image encoder (torch.compile): minutes at the start, faster steps on a GPU.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=0, help="Processes that decode pictures. Default: from the machine.", rich_help_panel=_COMMON, show_default=False
    ),
]
Cache = Annotated[
    CacheKind,
    typer.Option(
        "--cache",
        help="Decoded pictures: kept in memory (ram) or, for later runs too, in one file in the store (disk), or not at all (none). "
        "auto: memory when they fit in half of what is free.",
        rich_help_panel=_COMMON,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, everything else on stderr.", rich_help_panel=_COMMON)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved settings, inputs and planned outputs, and stop.", rich_help_panel=_COMMON)
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Add the traceback to an error.", rich_help_panel=_COMMON)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the result only.", rich_help_panel=_COMMON)]

DEFAULT_STORE = Path("artifacts")
Clip = Annotated[
    str | None,
    typer.Option(
        "--clip",
        help="CLIP: reidclip-tiny, ARCH:TAG (ViT-B-16:openai), a weights file, resnet50:FILE or blip:FOLDER; short for --set clip=...",
        rich_help_panel=_SETTINGS,
        show_default=False,
    ),
]
SkipBroken = Annotated[
    Literal["fail", "skip"],
    typer.Option("--on-error", help="skip reads every picture before the training and leaves broken ones out; fail stops at the first."),
]
Accumulate = Annotated[
    int, typer.Option("--accumulate", min=1, help="Encode each batch in so many pieces: less memory, the same result, a third more time.")
]
BlurFaces = Annotated[
    bool | None,
    typer.Option(
        "--blur-faces/--keep-faces",
        help="Blur every face past recognition, by the label maps of a parsing; short for --set blur_faces=true. Default: as the "
        "prompts or the checkpoint were trained.",
        rich_help_panel=_SETTINGS,
        show_default=False,
    ),
]
Parsing = Annotated[
    str | None,
    typer.Option(
        "--parsing",
        metavar="REF|DIR",
        help="By which faces are blurred: parsing artifact, or a folder of label maps (of `reidclip synth`, or made elsewhere), which the "
        "store takes in. Default: the newest of this data.",
        show_default=False,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over instead of going on with an interrupted run.")]


def assignments(set_: list[str] | None, clip: str | None = None, **short: str | bool | None) -> list[str]:
    """The --set options, with --clip, --student and the like as some of them."""
    named = {"clip": clip, **short}
    return [*(set_ or []), *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in named.items() if value not in (None, ""))]
