"""A CLIP as it was pre-trained: OpenAI's and open_clip's weights by open_clip's key names, as .safetensors, .pt, .pth or .bin."""

from __future__ import annotations

from reidclip.clip.inference import InferenceEncoder, InferenceOptions
from reidclip.clip.load import load_clip
from reidclip.clip.weights import SUFFIXES
from reidclip.errors import UserError
from reidclip.importers.content import Content
from reidclip.importers.imported import Imported, feature_facts
from reidclip.importers.options import ImportOptions
from reidclip.importers.recognise import CLIP


def read(content: Content, options: ImportOptions, arch: str | None = None) -> Imported:
    """The image encoder at a person's input size; what `reidclip evaluate --zero-shot` uses.

    Args:
        content: of the file; its configuration is read from the .json beside it when there is one.
        options: size and stride; the rest does not apply.
        arch: open_clip's name of the architecture; None recognises it.

    Raises:
        UserError: the shapes fit no architecture or several, or weights do not fit.
    """
    if options.neck == "after":
        raise UserError(f"{content.path} is a CLIP, which has no BatchNorm behind it.", "Leave --neck out.")
    if content.path.suffix not in SUFFIXES:
        raise UserError(f"The name of {content.path} does not end as weights of a CLIP do.", f"Rename it; known are {', '.join(SUFFIXES)}.")
    spec = f"{content.path}::{arch}" if arch else str(content.path)
    clip = load_clip(spec, image_size=options.size or (256, 128), stride=options.stride)
    encoder = InferenceEncoder(clip.image_encoder, InferenceOptions(clip.mean, clip.std)).eval()  # resized as evaluate --zero-shot does
    return Imported(
        kind=CLIP,
        method="CLIP (imported)",
        holds="encoder",
        facts={"identities": None, "architecture": clip.name, "clip_digest": clip.digest, **feature_facts(encoder)},
        write=encoder.save,
        notes=("Not trained for re-identification.",),
    )
