"""READ FIRST: everything that a plugin may implement, on one page.

A plugin is a Python package that names one object per entry point in a group below; the object fulfils the Protocol beside it.
Bundled plugins use the same door. Importing the object must be cheap: torch is imported inside the functions that need it.

==================  ==============  ================================================================================================================
group               protocol        bundled
==================  ==============  ================================================================================================================
reidclip.methods    `Method`        baseline clipreid ccaf sci cal fgdi clip3dreid rkd
reidclip.parsers    `Parser`        schp (and its small stand-in, schp-tiny)
reidclip.bodies     `Body`          anny smpl
reidclip.exporters  `Exporter`      onnx onnx-int8 torch-export safetensors
reidclip.indexes    `GalleryIndex`  faiss milvus
reidclip.layouts    `DataLayout`    prcc ltcc vcclothes market1501 msmt17 deepchange last ccvid celeb_reid ccda cuhk02 cuhk03 cuhk_sysu prid grid viper ilids folder
==================  ==============  ================================================================================================================
"""  # noqa: E501  (one line per group)

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from reidclip.records import Dataset, LabelMap, PublishedCount, Sample
from reidclip.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from reidclip.bodies.mesh_set import MeshSet
    from reidclip.clip.load import ClipModel
    from reidclip.data.loader import ImageSource
    from reidclip.train.descriptions import Descriptions


# ------------------------------------------------------------------------------------------------------------ data layouts
@runtime_checkable
class DataLayout(Protocol):
    """Reads one kind of data set from disk. It may not open pictures, only list folders and read label files.

    It may also have ``yields(root) -> bool``: True when it recognises the tree by so little that any other layout that does comes first.
    ``near_miss(root) -> str``: what keeps a folder that has some of the tree from being recognised, one sentence, or "".
    ``inner: tuple[str, ...]``: folders below the one that users name in which the tree may lie; data there is called by the layout.
    ``protocols``, where a whole copy always has the same ones, for `reidclip datasets show`. And ``published_of(dataset)``: which of the
    ``published`` counts are those of this data, where one layout reads several releases (Celeb-reID and its light version).
    """

    name: str  # "prcc"
    title: str  # "PRCC (Yang, Wu, Zheng; TPAMI 2021)"
    expected_tree: str  # a few lines of text shown in errors and by `reidclip datasets list`
    source: str  # where to ask for the data, in one sentence; "" for layouts of people's own data
    published: Sequence[PublishedCount]  # what `reidclip datasets verify` compares with; empty where nothing is published

    def recognises(self, root: Path) -> bool:
        """True when the folder has this layout's tree; cheap, never raises."""
        ...

    def load(self, root: Path) -> Dataset:
        """All samples, labels and protocols. Raises `UserError` naming the file and the remedy.

        Where single files are at fault, a `reidclip.data.faults.DataFaultsError` names all of them, and `datasets verify` reports them.
        """
        ...


# ------------------------------------------------------------------------------------------------------------ human parsers
class ParserSession(Protocol):
    """A loaded parser: a function from pictures to label maps."""

    name: str  # what really ran, written in manifests: "schp-tiny" is not "schp"
    version: str  # digest of the weights, or the toolkit version
    labels: tuple[str, ...]  # index -> label name; index 0 is the background

    def __call__(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """RGB uint8 (H, W, 3) pictures of any sizes -> uint8 (H, W) label maps of the same sizes."""
        ...


@runtime_checkable
class Parser(Protocol):
    """A human parser: gives every pixel a body-part or garment label."""

    name: str
    title: str
    settings: type[Settings]

    def open(self, settings: Settings, device: torch.device) -> ParserSession:
        """Load weights; raises `UserError` when they are missing or do not fit."""
        ...


# ------------------------------------------------------------------------------------------------------------ bodies
class BodySession(Protocol):
    """A loaded 3D body model: a differentiable function from shape parameters to a mesh in metres.

    Axes of all points: x to the person's left, y backwards, z up. Arrays and tensors are float32 unless told otherwise.
    """

    name: str  # "anny"; written in meshes and checkpoints
    version: str  # digest of the model's data: shapes of one file mean nothing to another
    shapes: int  # S, shape parameters
    joints: tuple[str, ...]  # J names; rotations are about these
    faces: np.ndarray  # (F, 3) int64 triangles, counter-clockwise seen from outside

    def vertices(self, shape: Tensor) -> Tensor:
        """(B, S) -> (B, V, 3) in the canonical pose; on the device and with the gradient of ``shape``."""
        ...

    def posed(self, shape: Tensor, rotations: Tensor) -> Tensor:
        """(B, S), (B, J, 3, 3) rotations about the joints, in the axes of the canonical pose -> (B, V, 3)."""
        ...

    def measure(self, shape: Tensor) -> dict[str, Tensor]:
        """(B, S) -> (B,) by name: metres, kilograms, ratios; on the CPU, no gradient; `reidclip.bodies.phrases.MEASURES` and others."""
        ...

    def draw_shape(self, rng: np.random.Generator, female: bool) -> np.ndarray:
        """(S,) parameters of one body of the model's population."""
        ...

    def draw_pose(self, rng: np.random.Generator) -> np.ndarray:
        """(J, 3, 3) rotations of a natural pose, standing or walking."""
        ...


@runtime_checkable
class Body(Protocol):
    """A parametric model of the human body."""

    name: str
    title: str
    licence: str  # one sentence, shown once per command that uses the model

    def open(self, file: Path | None) -> BodySession:
        """Load it: from its own package (None), or the user's file. Raises `UserError` that says where to get a file that is missing."""
        ...


# ------------------------------------------------------------------------------------------------------------ methods
@dataclass(frozen=True)
class ParamGroup:
    """Parameters trained alike. ``lr`` is the base rate that the schedule scales: the update's, unless the group has its own."""

    name: str
    params: Sequence[tuple[str, nn.Parameter]]  # (name in the checkpoint, parameter)
    lr: float
    weight_decay: float = 0.0
    schedule: Callable[[int], float] | None = None  # 0-based epoch -> factor on lr


@dataclass(frozen=True)
class Update:
    """One optimiser step inside an iteration. Most methods have one; those that alternate have several, run in order.

    Attributes:
        name: "main", or the paper's word ("examine", "disentangle").
        groups: what this update trains; everything else is frozen while its gradients are taken.
        schedule: 0-based epoch -> factor on each group's lr.
        losses: (batch, outputs of `TrainStage.forward`) -> one entry per named loss of the paper, unweighted scalars. None of them: the
            update takes no step (one that begins at a later epoch; which are there may change between epochs, not within one).
        weights: loss name -> weight in the total; a loss that is not listed has weight 1.
    """

    name: str
    groups: Sequence[ParamGroup]
    schedule: Callable[[int], float]
    losses: Callable[[Mapping[str, Tensor], Any], Mapping[str, Tensor]]
    weights: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class TrainStage(Protocol):
    """One training stage as the loop sees it: what is trained, on which batches, with which losses.

    The core's loop (`reidclip.train.loop`) does everything else: device, precision, gradients, logging, checkpoints, resume.

    It may also have ``notes``, sentences that the user is told as the training starts, and that its artifact's manifest keeps; and
    ``begin()``, called once when the stages before it have ended (or were found ended) and before anything else of it is asked but
    ``epochs``, ``module`` and ``updates``: what depends on their result is computed there.
    """

    epochs: int
    module: nn.Module  # every tensor that a resumed run needs, trained or not (frozen towers excluded)
    updates: Sequence[Update]

    def plan(self, epoch: int) -> Sequence[Sequence[int]]:
        """Batches of one epoch as lists of indices; depends on (seed, epoch) alone, so that a run can resume inside an epoch."""
        ...

    def fetch(self, epoch: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        """Yield the batches of ``plan(epoch)`` from number ``start`` on, the same ones however the run was cut; workers live in here."""
        ...

    def forward(self, batch: Mapping[str, Tensor]) -> Any:
        """What the updates of one iteration share (features); its graph is used by the updates' losses."""
        ...

    def set_mode(self, training: bool) -> None:
        """Put the modules in training or evaluation mode (frozen towers stay in evaluation mode)."""
        ...


@dataclass(frozen=True)
class StageContext:
    """What a method gets to build a stage from. Everything is loaded, checked and on the right device."""

    settings: Any  # the method's own settings class for this command
    clip: ClipModel  # its image encoder is a template: copy it before training it
    train: tuple[Sample, ...]  # for finetune, tracklets are cut into pieces (`reidclip.data.clips`)
    labels: LabelMap
    source: ImageSource  # decodes pictures (and masks, when `needs_masks`)
    device: torch.device
    seed: int
    workers: int | None = None  # processes that decode pictures; None: from the machine
    precision: str = "fp32"
    prompts: Mapping[str, Tensor] | None = None  # tensors of the prompts artifact (finetune of methods that use text)
    progress: Callable[[str, int, int], None] | None = None  # (what, done, total): told of long work before the training itself
    cache: Path | None = None  # folder of this very run, which outlives a kill: what is dear to compute is kept there
    teacher: nn.Module | None = None  # distill from a checkpoint: its `InferenceEncoder`, frozen, in evaluation mode
    teacher_clip: ClipModel | None = None  # distill from a CLIP that is asked live: likewise
    descriptions: Descriptions | None = None  # distill from a CLIP: what it says of every training picture, rows as in ``train``
    body: BodySession | None = None  # the body model of ``meshes``
    meshes: MeshSet | None = None  # rendered bodies with known shapes and words
    mesh_source: ImageSource | None = None  # decodes their pictures


@dataclass(frozen=True)
class DistillNeeds:
    """What a method of distill reads.

    Attributes:
        teacher: "clip" for image and text encoder, "checkpoint" for a fine-tuned image encoder.
        descriptions: whether the CLIP's words and features of every picture are read.
        live: whether the teacher itself is asked during the training, about the augmented pictures.
        true_words: whether the choices of words are those of the people's true bodies, which rendered data sets know.
        meshes: whether rendered bodies are trained on.
    """

    teacher: Literal["clip", "checkpoint"]
    descriptions: bool = False
    live: bool = False
    true_words: bool = False
    meshes: bool = False


INHERITED = ("clip", "similarity", "height", "width", "stride", "normalisation", "test_resize", "train_splits", "distractors", "blur_faces")
"""What finetune takes over from its prompts, by any method."""


@runtime_checkable
class Method(Protocol):
    """A re-identification method: the stages of one paper.

    ``stages`` says which commands it takes part in ("prompt-learn", "finetune", "distill": `Distiller`); ``settings[stage]`` is that
    stage's settings class; recipes are ``recipes/*.toml`` beside the module, one per data set and setting.

    It may also have ``inherits``: settings that finetune takes over from the prompts it reads, where nobody gives them (without it:
    `INHERITED`). And ``without_effect(stage, settings) -> Mapping``: keys that do nothing under these settings -> what makes it so, as
    "sim = false"; a user who gives one of them is told.
    """

    name: str
    title: str  # "CCAF: CLIP-Driven Cloth-Agnostic Feature Learning ..."
    version: str  # of the method's mathematics: raised when its results change
    stages: tuple[str, ...]
    settings: Mapping[str, type[Settings]]
    folder: Path  # where PAPER.md, equations.py, published.toml and recipes/ are

    def needs_masks(self, stage: str, settings: Settings) -> bool:
        """Whether this stage reads masks, under these settings."""
        ...

    def needs_prompts(self, settings: Settings) -> bool:
        """Whether finetune reads a prompts artifact, under these settings."""
        ...

    def prompt_stages(self, context: StageContext) -> Sequence[TrainStage]:
        """Stages of ``prompt-learn``, run one after the other. Only called when "prompt-learn" is among ``stages``."""
        ...

    def prompt_tensors(self, context: StageContext, stages: Sequence[TrainStage]) -> dict[str, Tensor]:
        """After training: learned contexts and the text features computed from them, by name."""
        ...

    def finetune_stages(self, context: StageContext) -> Sequence[TrainStage]:
        """Stages of ``finetune``, run one after the other."""
        ...

    def encoder(self, context: StageContext, stages: Sequence[TrainStage]) -> nn.Module:
        """After training: the image encoder that inference uses, a `reidclip.clip.image_encoder.ImageEncoder`."""
        ...


@runtime_checkable
class Distiller(Method, Protocol):
    """A method that has "distill" among its ``stages``; ``encoder`` then gives the student.

    It may also have ``extras(context, stages, folder)``, which writes into the checkpoint what inference does not need.
    """

    def distill_needs(self, settings: Settings) -> DistillNeeds:
        """What distill reads, under these settings."""
        ...

    def distill_stages(self, context: StageContext) -> Sequence[TrainStage]:
        """Stages of ``distill``, run one after the other; ``context.clip.image_encoder`` is the student."""
        ...


# ------------------------------------------------------------------------------------------------------------ exporters
@dataclass(frozen=True)
class ExportPlan:
    """What is exported, beside the encoder itself.

    Attributes:
        settings: the exporter's own settings.
        preprocessing: whether the file takes uint8 NHWC pictures of the encoder's size (B, H, W, 3) in place of normalised float32 NCHW.
        resize: whether those pictures may be of any size (all of a batch of the same) and the file resizes them as Pillow does.
        precision: "fp32" or "fp16", of the weights in the file.
        calibration: normalised pictures of the data's training half, (B, 3, H, W) float32 each, for exporters that ``calibrates``; None
            where no data was named.
    """

    settings: Any
    preprocessing: bool = False
    resize: bool = False
    precision: Literal["fp32", "fp16"] = "fp32"
    calibration: Callable[[], Iterator[Tensor]] | None = None


class ExportedSession(Protocol):
    """A loaded export, run by its own runtime on the CPU."""

    name: str  # the runtime and its version: "onnxruntime 1.20.1"

    def __call__(self, pictures: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
        """(B, 3, H, W) float32 normalised, or (B, H, W, 3) uint8 with the pre-processing inside -> (B, D) float32.

        ``camera`` (B,) int64 for encoders with camera embeddings.
        """
        ...


@runtime_checkable
class Exporter(Protocol):
    """Writes an encoder in another runtime's format; `reidclip.export.network.ExportNetwork` is the encoder as a function to be traced.

    It may also have ``calibrates = True``: it reads pictures of the training half, `ExportPlan.calibration`. ``preprocesses = False``: it
    writes weights and no function, so that nothing can be put inside. ``facts(path)``, a mapping: what ``export.json`` adds about the file.
    """

    name: str  # "onnx"
    title: str
    settings: type[Settings]
    precisions: tuple[str, ...]  # those of `ExportPlan.precision` that it can write
    exact: bool  # False where results differ by design (int8): verified by the protocol's R1 and mAP in place of the cosine

    def export(self, encoder: nn.Module, plan: ExportPlan, folder: Path) -> Path:
        """Write the files into ``folder``; gives the one that is loaded.

        ``encoder`` is an `InferenceEncoder` in evaluation mode on the CPU. Raises `UserError` naming the operator that the format
        lacks, or the package that is missing.
        """
        ...

    def load(self, path: Path, threads: int | None = None) -> ExportedSession:
        """Open what `export` wrote, as somebody without this toolkit would."""
        ...


# ------------------------------------------------------------------------------------------------------------ gallery indexes
class IndexSession(Protocol):
    """An open index over a gallery's vectors; rows are numbered in the order in which they were added, and keep their numbers."""

    def search(self, queries: np.ndarray, count: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows of each query.

        Args:
            queries: (Q, D) float32.
            count: answers per query.
            allowed: (N,) bool, rows that may answer; None lets all.

        Returns:
            distances (Q, count) float32, ascending: 1 - cosine or Euclidean, and rows (Q, count) int64, -1 where there were no more.
            What is equally near comes by row, as far as the library lets all of it be known.
        """
        ...

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """(R, D) float32 of these rows, for re-ranking."""
        ...

    def close(self) -> None:
        """Free what it holds; no use after it."""
        ...


@runtime_checkable
class GalleryIndex(Protocol):
    """A kind of index: an embedded library, or a vector database.

    It may also have ``placed(settings, store_root, name)``, which gives the settings with the place of a database filled in; and
    ``discard(folder)``, which removes what ``build`` or ``extend`` made outside of ``folder``, also where they did not get to their end
    (nothing where the folder is not its own; `WorkError` where the database does not answer): it is called when an index is removed, or
    does not come into being. ``build`` and ``extend`` may write ``recall.json`` where searches are approximate: "at", "recall" (0..1),
    "queries" and "wanted". ``needs`` names the modules of other packages without which it cannot work; they are imported before the
    work begins.
    """

    name: str  # "faiss"
    title: str
    settings: type[Settings]

    def build(
        self, vectors: Iterator[np.ndarray], width: int, measure: Literal["similarity", "distance"], settings: Any, folder: Path
    ) -> None:
        """Write an index of these blocks (B, D) float32 into ``folder`` (a draft's), or fill the database and note there where it is."""
        ...

    def extend(self, old: Path, vectors: Iterator[np.ndarray], removed: np.ndarray, folder: Path) -> None:
        """The index of folder ``old`` without the rows ``removed`` (sorted int64) and with these added, into ``folder``.

        The rows that stay keep their order and are numbered anew from 0; added ones follow. ``old`` answers as before.
        """
        ...

    def open(self, folder: Path) -> IndexSession:
        """Load it. Raises `WorkError` where files are damaged, or the database does not answer or has changed."""
        ...


GROUPS: Mapping[str, type] = {
    "reidclip.methods": Method,
    "reidclip.parsers": Parser,
    "reidclip.bodies": Body,
    "reidclip.exporters": Exporter,
    "reidclip.indexes": GalleryIndex,
    "reidclip.layouts": DataLayout,
}
