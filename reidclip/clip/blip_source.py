"""Where a BLIP comes from: what ``--clip blip:...`` names.

================================  ==========================================================================================
``blip:FOLDER``                   a folder as the hub offers it for `BlipForImageTextRetrieval`: ``config.json``,
                                  ``model.safetensors`` (or ``pytorch_model.bin``), ``vocab.txt`` or ``tokenizer.json``
``random:blip`` (``@7``)          random weights, `transformers`' default configuration; the tokenizer from the hub
``random:blip:FILE.json``         random weights of this configuration; the tokenizer lies beside it
================================  ==========================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reidclip.clip import weights
from reidclip.clip.architecture import encoder_config
from reidclip.clip.blip_image import BlipEncoder
from reidclip.clip.blip_text import BlipTextEncoder
from reidclip.clip.geometry import Size
from reidclip.clip.hf_tokenizer import require_transformers
from reidclip.clip.load import CLIP_MEAN, CLIP_STD, ClipModel
from reidclip.clip.sources import Source
from reidclip.clip.tokenizer import make_tokenizer
from reidclip.errors import UserError

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_UNUSED = ("itm_head.", "text_encoder.embeddings.position_ids")  # the matching head looks at picture and text together
_TEMPERATURE = 0.07  # of the contrastive loss as it starts to learn; published files do not hold what it became
_HUB = "Salesforce/blip-itm-base-coco"


def find_blip(spec: str) -> Source:
    """Resolve a spec of the module's table, ``random:`` included.

    Raises:
        UserError: a folder or configuration that is missing or broken; or `transformers` is not installed.
    """
    require_transformers("BLIP", "blip")
    name, is_random = spec.removeprefix("random:"), spec.startswith("random:")
    name, _, seed = name.partition("@") if is_random else (name, "", "")
    where = Path(name.partition(":")[2])
    if seed and not seed.isdigit():
        raise UserError(f"'{spec}': the seed after @ is not a number.", "Write for example random:blip@7.")
    if is_random:
        document = _read(where) if name != "blip" else {}
        return Source("blip", _model(document), seed=int(seed or 0), folder=where.parent if document else None)
    if not where.is_dir() or where == Path():
        raise UserError(f"No BLIP at '{name.partition(':')[2]}'.", f"Give a folder with the files of {_HUB}: --clip blip:FOLDER.")
    file = next((where / file for file in _WEIGHTS if (where / file).is_file()), None)
    if file is None:
        raise UserError(f"{where} holds no weights of BLIP ({' or '.join(_WEIGHTS)}).", f"Get them from https://huggingface.co/{_HUB}.")
    state = {key: value for key, value in weights.read_tensors(file).items() if not key.startswith(_UNUSED)}
    weights.check_finite(state, file)
    return Source("blip", _model(_read(where / "config.json")), state=weights.copied(state), folder=where)


def assemble_blip(
    source: Source, spec: str, *, image_size: Size, stride: int | None, device: torch.device | str, sie_cameras: int, sie_coefficient: float
) -> ClipModel:
    """The model of a source of `find_blip`; see `reidclip.clip.load.assemble`.

    Raises:
        UserError: weights that do not fit, or what `encoder_config` and `make_tokenizer` refuse.
    """
    config = encoder_config(source.model, image_size, stride, sie_cameras, sie_coefficient)
    tokenizer = make_tokenizer(source.model["text_cfg"], source.folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(source.seed)
        towers = _built(source.model)
        if source.state is not None:
            _fill(towers, source.state, spec)
        digest = weights.digest(towers.state_dict(), False)
        encoder = BlipEncoder(config, towers.vision_model, towers.vision_proj)
    return ClipModel(
        name=source.name,
        spec=spec,
        image_encoder=encoder.train().to(device),
        text_encoder=BlipTextEncoder(towers.text_encoder, towers.text_proj).train().to(device),
        tokenizer=tokenizer,
        digest=digest,
        mean=CLIP_MEAN,
        std=CLIP_STD,
        interpolation="bicubic",
        image_size=image_size,
        logit_scale=1 / _TEMPERATURE,
        model=source.model,
        card={"similarity": "cosine"},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.", "Give the configuration of a BlipForImageTextRetrieval.") from error
    if not isinstance(document, dict) or not {"vision_config", "text_config"} <= set(document):
        raise UserError(f"{path} is no configuration of BLIP.", "It needs vision_config and text_config, as on the hub.")
    return document


def _model(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a source has in place of open_clip's configuration, with the keys that tell a geometry."""
    from transformers import BlipConfig

    try:
        config = BlipConfig(**document)
    except Exception as error:  # transformers checks values with its own kinds of errors
        raise UserError(f"transformers does not take this configuration of BLIP: {error}.", "Compare it with the hub's.") from error
    vision: Any = config.vision_config
    text: Any = config.text_config
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size", "hidden_act")
    return {
        "blip": {"vision": {key: getattr(vision, key) for key in (*kept, "layer_norm_eps")}, "text": text.to_diff_dict()},
        "embed_dim": int(config.image_text_hidden_size),
        "vision_cfg": {"image_size": vision.image_size, "patch_size": vision.patch_size},
        "text_cfg": {
            "hf_tokenizer_name": _HUB,
            "context_length": int(text.max_position_embeddings),
            "vocab_size": int(text.vocab_size),
        },
    }


def _built(model: Mapping[str, Any]) -> Any:
    from transformers import BlipConfig, BlipForImageTextRetrieval

    parts = model["blip"]
    config = BlipConfig(vision_config=parts["vision"], text_config=parts["text"], image_text_hidden_size=model["embed_dim"])
    towers: Any = BlipForImageTextRetrieval(config)
    del towers.itm_head
    return towers


def _fill(towers: Any, state: Mapping[str, Tensor], spec: str) -> None:
    wanted = towers.state_dict()
    wrong = sorted(set(wanted) ^ set(state))
    wrong += sorted(key for key in set(wanted) & set(state) if wanted[key].shape != state[key].shape)
    if wrong:
        raise UserError(
            f"The weights of {spec} are not those of its config.json ({wrong[0]} differs; {len(wrong)} differences).",
            f"Get both files from one place, such as https://huggingface.co/{_HUB}.",
        )
    towers.load_state_dict(state)
