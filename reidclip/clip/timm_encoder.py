"""An image encoder whose tower is timm's, of whatever kind: tokens with or without a class token, attention pools, convolutions.

State-dict keys are open_clip's own without ``visual.`` (``trunk.*``, ``head.*``), positions at the *target* size, plus
``camera_embedding``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from reidclip.clip.architecture import EncoderConfig
from reidclip.clip.image_encoder import ImageEncoder, as_map
from reidclip.clip.image_features import ImageFeatures, TokenMaps
from reidclip.clip.timm_tower import set_size


class _Reached(NamedTuple):
    """What a pass through the trunk gives.

    Attributes:
        final: what enters the tower's pool, in the trunk's own shape.
        before: (B, W_last, h', w') map that enters the final block (tokens) or stage (convolutions).
        before_token: (B, W_last) class token that does, where there is one.
    """

    final: Tensor
    before: Tensor
    before_token: Tensor | None


class TimmEncoder(ImageEncoder):
    """A tower of timm.

    ``last`` is what enters the final block or stage, reduced as the tower itself pools: the class token where it pools that, else the mean
    over places (attention pools too: theirs belongs to the final tokens). ``pooled`` is what the tower's pool gives, behind its last norm
    and before the projection. Where the pool itself is the projection into the joint space, as SigLIP's attention pool is, ``pooled`` is
    the mean of the final tokens. ``projected`` is the joint space with text.
    """

    def __init__(self, config: EncoderConfig, visual: Any) -> None:
        trunk = visual.trunk
        self._pools_token = getattr(trunk, "global_pool", None) == "token"
        self._pool_projects = (
            getattr(trunk, "attn_pool", None) is not None and isinstance(trunk.get_classifier(), nn.Identity) and not len(visual.head)
        )
        pooled = trunk.num_features if self._pool_projects else trunk.head_hidden_size
        super().__init__(config, int(trunk.feature_info[-2]["num_chs"]), int(pooled), int(config.model["embed_dim"]))
        set_size(visual, config.image_size)
        self.trunk, self.head = trunk, visual.head
        self._prefix = int(getattr(trunk, "num_prefix_tokens", 0))
        if config.sie_cameras:
            self.camera_embedding = nn.Parameter(torch.empty(config.sie_cameras, trunk.num_features))
            nn.init.trunc_normal_(self.camera_embedding, std=0.02)
        else:
            self.register_parameter("camera_embedding", None)

    @property
    def places_reach_feature(self) -> bool:
        """Whether the tower pools its final places, so that the feature has a gradient at them; a class token alone has none."""
        return not self._pools_token

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`."""
        reached = self._through_trunk(x, camera)
        return self._features(reached, reached.final), self._places(reached.final) if places else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`.

        ``pooled`` is the map that enters the pool, ``projected`` what pool and projection make of each place alone. The features are made
        from the former, so that gradients can be taken at it.
        """
        reached = self._through_trunk(x, camera)
        places = self._places(reached.final)
        final_map = as_map(places, self.config.grid)
        features = self._features(reached, self._like_final(final_map, reached.final))
        alone = self._one_place(places.flatten(0, 1), reached.final)
        projected = self._pooled_and_projected(alone)[1].reshape(*places.shape[:2], -1)
        return TokenMaps(features, reached.before, final_map, as_map(projected, self.config.grid))

    def _through_trunk(self, x: Tensor, camera: Tensor | None) -> _Reached:
        self._check(x)
        trunk: Any = self.trunk
        with self._camera_added(camera):
            options = {"return_prefix_tokens": True} if self._prefix else {}
            final, (before,) = trunk.forward_intermediates(x, indices=[len(trunk.feature_info) - 2], **options)
        if self._prefix:
            before, prefix = before
            return _Reached(final, before, prefix[:, 0])
        return _Reached(final, before, None)

    @contextmanager
    def _camera_added(self, camera: Tensor | None) -> Iterator[None]:
        """Within, the class token carries the camera's embedding into ``norm_pre``, where positions have been added."""
        if self.camera_embedding is None or camera is None:
            yield
            return
        added = self.config.sie_coefficient * self.camera_embedding[camera].unsqueeze(1)

        def add(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            return (torch.cat([inputs[0][:, :1] + added, inputs[0][:, 1:]], dim=1),)

        trunk: Any = self.trunk
        hook = trunk.norm_pre.register_forward_pre_hook(add)
        try:
            yield
        finally:
            hook.remove()

    def _features(self, reached: _Reached, final: Tensor) -> ImageFeatures:
        use_token = self._pools_token and reached.before_token is not None
        last = reached.before_token if use_token else reached.before.mean((2, 3))
        assert last is not None
        dtype = next(self.trunk.parameters()).dtype
        pooled, projected = self._pooled_and_projected(final)
        return ImageFeatures(last.to(dtype), pooled.to(dtype), projected.to(dtype))

    def _pooled_and_projected(self, final: Tensor) -> tuple[Tensor, Tensor]:
        trunk: Any = self.trunk
        pooled = trunk.forward_head(final, pre_logits=True)
        if self._pool_projects:
            return self._places(final).mean(1), pooled
        return pooled, self.head(trunk.get_classifier()(pooled))

    def _places(self, final: Tensor) -> Tensor:
        """(B, N, W) of what enters the pool, prefix tokens left out."""
        if final.dim() == 3:
            return final[:, self._prefix :]
        return final.flatten(1, 2) if self._channels_last else final.flatten(2).transpose(1, 2)

    @property
    def _channels_last(self) -> bool:
        """Whether the trunk's maps are (B, h, w, W)."""
        return getattr(self.trunk, "output_fmt", "") == "NHWC"

    def _like_final(self, final_map: Tensor, final: Tensor) -> Tensor:
        """A (B, W, h, w) map in the trunk's own shape again, with the prefix tokens of ``final``."""
        if final.dim() == 3:
            return torch.cat([final[:, : self._prefix], final_map.flatten(2).transpose(1, 2)], dim=1)
        return final_map.permute(0, 2, 3, 1) if self._channels_last else final_map

    def _one_place(self, places: Tensor, final: Tensor) -> Tensor:
        """(N, W) places as N pictures of one place each, in the trunk's own shape; prefix tokens, where pooled, are that place."""
        if final.dim() == 3:
            return places[:, None].expand(-1, self._prefix + 1, -1)
        return places[:, None, None] if self._channels_last else places[:, :, None, None]
