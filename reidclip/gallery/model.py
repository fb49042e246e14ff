"""Which model made a vector: vectors of different models cannot be compared, whatever their lengths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from reidclip.errors import UserError

if TYPE_CHECKING:
    from reidclip.clip.inference import InferenceEncoder


@dataclass(frozen=True)
class VectorModel:
    """What has to be equal for vectors to be comparable.

    Attributes:
        ref: the checkpoint's reference (or "zero-shot:NAME" of a plain CLIP), for people and to find it again; not part of the digest.
        weights: SHA-256 over names, shapes and values of the encoder's tensors.
        config: SHA-256 of its configuration: architecture, input size, normalisation, neck, flip.
        width: length of a vector.
        measure: "similarity" for unit vectors compared by cosine, "distance" for Euclidean ones.
    """

    ref: str
    weights: str
    config: str
    width: int
    measure: Literal["similarity", "distance"]

    @classmethod
    def of(cls, ref: str, encoder: InferenceEncoder) -> VectorModel:
        """The model that this encoder is, as it is set now (its options may have been replaced)."""
        weights = hashlib.sha256()
        for name, value in sorted(encoder.state_dict().items()):
            array = value.detach().cpu().contiguous().numpy()
            weights.update(f"{name} {array.dtype} {array.shape}".encode())
            weights.update(array.tobytes())
        config = hashlib.sha256(json.dumps(encoder.to_config(), sort_keys=True).encode())
        measure: Literal["similarity", "distance"] = "similarity" if encoder.options.normalise else "distance"
        return cls(ref, weights.hexdigest(), config.hexdigest(), encoder.width, measure)

    @property
    def digest(self) -> str:
        """SHA-256 over all but the reference."""
        return hashlib.sha256(json.dumps({k: v for k, v in asdict(self).items() if k != "ref"}, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As plain values, with the digest."""
        return {**asdict(self), "digest": self.digest}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> VectorModel:
        """What `to_json` made. Raises `ValueError` where a key is missing or the digest is not that of the rest."""
        try:
            model = cls(**{k: told[k] for k in ("ref", "weights", "config", "width", "measure")})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no model of vectors: {error}") from error
        if told.get("digest") != model.digest:
            raise ValueError("the model's digest is not that of its parts")
        return model

    def check_same(self, other: VectorModel, mine: str, its: str) -> None:
        """Both made comparable vectors; ``mine`` and ``its`` name the two in the message ("index gate@v1", "vectors hall@v2").

        Raises:
            UserError: they did not, with what differs.
        """
        if self.digest == other.digest:
            return
        what = (
            f"vectors of {self.width} numbers, not {other.width}"
            if self.width != other.width
            else "other weights"
            if self.weights != other.weights
            else "other settings of the encoder"
        )
        raise UserError(
            f"{mine} was made with {self.ref} ({self.digest[:12]}), {its} with {other.ref} ({other.digest[:12]}): {what}.",
            "Vectors of two models cannot be compared: extract both with the same checkpoint.",
        )
