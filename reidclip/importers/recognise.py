"""Which program wrote a state dict, told by its keys: what can be imported, and a name for what cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from reidclip.errors import UserError
from reidclip.importers.content import Content

CLIPREID, CLIP, SCHP, SIMPLE_CCREID = "clipreid", "clip", "schp", "simple-ccreid"

_Rule = Callable[[frozenset[str]], bool]


def _all(*keys: str) -> _Rule:
    return lambda present: present.issuperset(keys)


def _any_begins(*starts: str) -> _Rule:
    return lambda present: any(key.startswith(starts) for key in present)


def _clips_own(present: frozenset[str]) -> bool:
    return "visual.conv1.weight" in present and bool({"visual.proj", "visual.attnpool.c_proj.weight"} & present)


_KINDS: Mapping[str, tuple[str, _Rule]] = {
    CLIPREID: ("a CLIP-ReID checkpoint", _all("classifier.weight", "bottleneck_proj.weight", "image_encoder.conv1.weight")),
    SCHP: ("an SCHP human parser", _all("fushion.3.weight")),
    SIMPLE_CCREID: ("a Simple-CCReID ResNet-50", _all("base.0.weight", "base.4.0.conv1.weight", "bn.weight")),
    CLIP: ("a CLIP", lambda present: _clips_own(present) or any(key.startswith("visual.trunk.") for key in present)),
}
"""Name of each kind that can be imported, what to call it, and how it is known; none fits two."""

_STRANGERS: tuple[tuple[str, _Rule], ...] = (
    ("an encoder without classifiers; those that this toolkit wrote need no import", _all("image_encoder.conv1.weight")),
    ("prompts that this toolkit learned", _all("identity.context")),
    ("the state of an unfinished training of this toolkit", _any_begins("rng.torch")),
    ("CLIP in the naming of Hugging Face's transformers", _any_begins("vision_model.", "text_model.", "clip.vision_model.")),
    ("TransReID or SOLIDER (a ViT or Swin without CLIP)", _any_begins("base.cls_token", "base.patch_embed", "base.stages")),
    ("a ViT in timm's naming, without CLIP", _any_begins("patch_embed.", "blocks.0.")),
    ("a ResNet in torchvision's naming, such as ImageNet's; finetune takes it as --clip resnet50:FILE", _all("layer1.0.conv1.weight")),
    ("a ResNet inside another program (fast-reid, BoT)", _any_begins("backbone.", "base.layer1.")),
    ("learned prompts of CoOp or CLIP-ReID's stage 1, without an image encoder", _any_begins("prompt_learner.")),
    ("SMPL or another body model", _any_begins("shapedirs", "v_template", "J_regressor")),
)


def names() -> tuple[str, ...]:
    """Kinds that can be imported, sorted."""
    return tuple(sorted(_KINDS))


def recognise(content: Content, wanted: str | None = None) -> str:
    """The kind of a state dict.

    Args:
        content: of a file.
        wanted: the kind that the caller expects; None takes any.

    Raises:
        UserError: it is none, or another than wanted; says what it looks like.
    """
    path, present = content.path, frozenset(content.tensors)
    found = next((kind for kind, (_, holds) in _KINDS.items() if holds(present)), None)
    if found is None:
        stranger = next((what for what, holds in _STRANGERS if holds(present)), None)
        looks = f"It looks like {stranger}." if stranger else f"Its keys ({_some(present)}) are not those of any program known here."
        raise UserError(f"{path} cannot be imported: {looks}", f"These can be: {_list(what for what, _ in _KINDS.values())}.")
    if wanted not in (None, found):
        expected, actual = _KINDS[str(wanted)][0], _KINDS[found][0]
        raise UserError(f"{path} looks like {actual}, not {expected}.", f"Leave --kind out, or say --kind {found}.")
    return found


def _some(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)[:3])


def _list(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}"
