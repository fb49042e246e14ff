"""The encoder that queries of a gallery need: the very one that made its vectors, or an error."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from reidclip.errors import UserError
from reidclip.gallery.model import VectorModel

if TYPE_CHECKING:
    import torch

    from reidclip.artifacts.store import Store
    from reidclip.clip.inference import InferenceEncoder

ZERO_SHOT = "zero-shot:"


def query_encoder(
    store: Store, model: VectorModel, whose: str, device: torch.device | str = "cpu", checkpoint: str | None = None
) -> InferenceEncoder:
    """Load the encoder that made a gallery's vectors.

    Args:
        store: where its checkpoint lies.
        model: what made the vectors.
        whose: names the gallery in errors ("index gate@v1").
        device: where it runs.
        checkpoint: another reference of the same checkpoint, where the model's own is not in this store.

    Raises:
        UserError: there is no such checkpoint, or it makes other vectors.
    """
    import torch

    ref = checkpoint or model.ref
    place = torch.device(device)
    encoder = _plain_clip(ref.removeprefix(ZERO_SHOT), place) if ref.startswith(ZERO_SHOT) else _checkpoint(store, ref, whose, place)
    made = VectorModel.of(ref, encoder)
    if made.digest != model.digest:  # extracted with another --flip than the checkpoint was saved with
        flipped = dataclasses.replace(encoder.options, flip=not encoder.options.flip)
        as_saved, encoder.options = encoder.options, flipped
        if VectorModel.of(ref, encoder).digest != model.digest:
            encoder.options = as_saved
            model.check_same(made, whose, f"the encoder {ref} of this store")
    return encoder


def _plain_clip(name: str, device: torch.device) -> InferenceEncoder:
    from reidclip.clip.inference import InferenceEncoder, InferenceOptions
    from reidclip.clip.load import load_clip

    clip = load_clip(name, device=device)
    return InferenceEncoder(clip.image_encoder, InferenceOptions(mean=clip.mean, std=clip.std)).eval()


def _checkpoint(store: Store, ref: str, whose: str, device: torch.device) -> InferenceEncoder:
    from reidclip.stages.evaluate_encoder import load_checkpoint

    try:
        artifact = store.open(ref, kind="checkpoint")
    except UserError as error:
        raise UserError(
            f"The vectors of {whose} were made by checkpoint {ref}, which is not in {store.root}.",
            "Copy it there, or name the same checkpoint with --checkpoint.",
        ) from error
    return load_checkpoint(artifact, device)
