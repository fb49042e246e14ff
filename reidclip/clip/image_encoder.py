"""The image side of CLIP with the three outputs that re-identification uses.

State-dict keys are CLIP's own without ``visual.`` (``conv1.weight``, ``class_embedding``, ``positional_embedding`` at the *target* grid,
``ln_pre.*``, ``transformer.resblocks.N.*``, ``ln_post.*``, ``proj``; ResNet: ``conv1-3``, ``bn1-3``, ``layer1-4``, ``attnpool.*``), plus
``camera_embedding`` and ``context_block.*`` (`reidclip.clip.context_block`) where there are any. With the prefix ``image_encoder.`` they
are the keys of a published CLIP-ReID checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reidclip.clip.architecture import EncoderConfig, build_visual, pair
from reidclip.clip.blocks import multi_head, run_block, run_block_at
from reidclip.clip.context_block import make_context_block, through
from reidclip.clip.geometry import grid_of_table, patch_grid, resize_positions, resnet_grid
from reidclip.clip.image_features import ImageFeatures, TokenMaps
from reidclip.errors import UserError


class ImageEncoder(nn.Module):
    """Common part of both towers: configuration, widths, input check. Built by `make_image_encoder`; can be deep-copied.

    Attributes:
        config: architecture and geometry.
        last_width, pooled_width, joint_width: widths of the three outputs.
        context_block: what the final map passes before it is pooled; None for nothing.
        takes_context_block: whether there is a place for one.
    """

    context_block: nn.Module | None
    takes_context_block: bool = False

    def __init__(self, config: EncoderConfig, last_width: int, pooled_width: int, joint_width: int) -> None:
        super().__init__()
        self.config = config
        self.last_width = last_width
        self.pooled_width = pooled_width
        self.joint_width = joint_width
        self.context_block = make_context_block(config.context_block, pooled_width) if self.takes_context_block else None

    def __call__(self, x: Tensor, camera: Tensor | None = None) -> ImageFeatures:
        """Encode normalised pictures, or clips.

        Args:
            x: (B, 3, H, W) of the size in ``config.image_size``; of clips (B, T, 3, H, W), whose outputs are means over the T frames, so
                that whoever encodes pictures encodes clips.
            camera: (B,) camera indices; used only when the encoder has camera embeddings, which are left out when None.

        Returns:
            Features in the parameters' precision, also under autocast.
        """
        return self._run(x, camera, places=False)[0]

    def forward_places(self, x: Tensor, camera: Tensor | None = None) -> tuple[ImageFeatures, Tensor]:
        """As `__call__`, with the final map behind the context block: (B, N, W_pooled), not normalised, class token left out; of clips
        (B, T, 3, H, W) the places of all their frames, (B, T N, W_pooled)."""
        features, places = self._run(x, camera, places=True)
        assert places is not None
        return features, places

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """As `__call__` for pictures, with the maps; a little slower, because the final block runs at every token."""
        raise NotImplementedError

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """What a tower does with pictures (B, 3, H, W); the final map's places only when asked for. Called through the two above."""
        raise NotImplementedError

    def _run(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """`forward` of pictures, or of all frames of clips and then averaged; a call of the module, so that it is compiled with it."""
        if x.dim() != 5:
            whole: tuple[ImageFeatures, Tensor | None] = super().__call__(x, camera, places)
            return whole
        clips, frames = x.shape[:2]
        of_frames, found = super().__call__(x.flatten(0, 1), None if camera is None else camera.repeat_interleave(frames), places)
        features = ImageFeatures(*(feature.unflatten(0, (clips, frames)).mean(1) for feature in of_frames))
        return features, None if found is None else found.reshape(clips, -1, found.shape[-1])

    def _check(self, x: Tensor) -> None:
        if tuple(x.shape[-2:]) != self.config.image_size:
            want, got = self.config.image_size, tuple(x.shape[-2:])
            raise ValueError(f"pictures are {got[0]}x{got[1]} but the encoder was built for {want[0]}x{want[1]} (height x width)")


def make_image_encoder(config: EncoderConfig, visual: Any = None) -> ImageEncoder:
    """Build the encoder, taking over the modules of an open_clip image tower.

    Args:
        config: architecture and geometry.
        visual: open_clip's tower with loaded weights at its own geometry; None builds one with random weights.

    Raises:
        UserError: the tower's position table fits no grid; or a trunk that is not known.
    """
    if config.is_foreign:
        from reidclip.clip.foreign_encoder import make_foreign_encoder  # those are ImageEncoders, so they come after this module

        return make_foreign_encoder(config, visual)
    visual = build_visual(config) if visual is None else visual
    return ResNetEncoder(config, visual) if config.is_resnet else VitEncoder(config, visual)


class VitEncoder(ImageEncoder):
    """CLIP's vision transformer. A context block sees all tokens between the final block and ``ln_post``."""

    takes_context_block = True

    def __init__(self, config: EncoderConfig, visual: Any) -> None:
        width, joint = visual.conv1.out_channels, visual.proj.shape[1]
        super().__init__(config, width, width, joint)
        self.conv1 = visual.conv1
        self.conv1.stride = pair(config.stride)
        self.class_embedding = visual.class_embedding
        native = patch_grid(config.native_size, config.patch, config.patch[0])
        self.positional_embedding = _resized(visual.positional_embedding, [native, config.grid], config)
        self.ln_pre = visual.ln_pre
        self.transformer = visual.transformer
        self.ln_post = visual.ln_post
        self.proj = visual.proj
        if config.sie_cameras:
            self.camera_embedding = nn.Parameter(torch.empty(config.sie_cameras, width))
            nn.init.trunc_normal_(self.camera_embedding, std=0.02)
        else:
            self.register_parameter("camera_embedding", None)

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`."""
        before, after = self._before_final_block(x, camera), None
        if places or self.context_block is not None:
            after = self._final_tokens(before)
            token = after[:, 0]
        else:
            token = run_block_at(self.transformer.resblocks[-1], before, 0)  # no other one is read
        pooled = self.ln_post(token)  # before before[:, 0] is taken: the order of operations is that in which gradients are summed
        return self._features(before[:, 0], pooled), after[:, 1:] if places and after is not None else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`."""
        before = self._before_final_block(x, camera)
        after = self.ln_post(self._final_tokens(before))
        projected = (after @ self.proj).to(after.dtype)
        last_map, pooled_map, projected_map = (as_map(t[:, 1:], self.config.grid) for t in (before, after, projected))
        return TokenMaps(self._features(before[:, 0], after[:, 0]), last_map, pooled_map, projected_map)

    def _final_tokens(self, before: Tensor) -> Tensor:
        """All tokens after the final block and the context block; (B, 1 + N, W) -> the same."""
        after = run_block(self.transformer.resblocks[-1], before)
        return after if self.context_block is None else self.context_block(after)

    def _features(self, last: Tensor, pooled: Tensor) -> ImageFeatures:
        return ImageFeatures(last, pooled, (pooled @ self.proj).to(self.proj.dtype))

    def _before_final_block(self, x: Tensor, camera: Tensor | None) -> Tensor:
        tokens = self._embed(x, camera)
        for block in self.transformer.resblocks[:-1]:
            tokens = run_block(block, tokens)
        return tokens

    def _embed(self, x: Tensor, camera: Tensor | None) -> Tensor:
        self._check(x)
        # The residual stream stays in the parameters' precision; under autocast only the products inside the blocks are reduced.
        patches = self.conv1(x).flatten(2).transpose(1, 2).to(self.positional_embedding.dtype)
        token = self.class_embedding.expand(x.shape[0], 1, -1)
        if self.camera_embedding is not None and camera is not None:
            token = token + self.config.sie_coefficient * self.camera_embedding[camera].unsqueeze(1)
        embedded: Tensor = self.ln_pre(torch.cat([token, patches], dim=1) + self.positional_embedding)
        return embedded


class ResNetEncoder(ImageEncoder):
    """CLIP's modified ResNet; with ``config.stride`` 16 its final stage keeps stride 1, as usual in re-identification.

    A context block sees stage 4's map; average and attention pool come after it.
    """

    takes_context_block = True

    def __init__(self, config: EncoderConfig, visual: Any) -> None:
        pool = visual.attnpool
        width = pool.q_proj.in_features
        super().__init__(config, width // 2, width, pool.c_proj.out_features)
        self.conv1, self.bn1, self.act1 = visual.conv1, visual.bn1, visual.act1
        self.conv2, self.bn2, self.act2 = visual.conv2, visual.bn2, visual.act2
        self.conv3, self.bn3, self.act3 = visual.conv3, visual.bn3, visual.act3
        self.avgpool = visual.avgpool
        self.layer1, self.layer2, self.layer3, self.layer4 = visual.layer1, visual.layer2, visual.layer3, visual.layer4
        self.attnpool = pool
        grids = [config.grid, *(resnet_grid(config.native_size, stride) for stride in (32, 16))]
        pool.positional_embedding = _resized(pool.positional_embedding, grids, config)
        if config.stride == 16:
            first = self.layer4[0]  # its strides are average pools in front of convolutions of stride 1
            first.avgpool = nn.Identity()
            first.downsample[0] = nn.Identity()

    def forward(self, x: Tensor, camera: Tensor | None, places: bool) -> tuple[ImageFeatures, Tensor | None]:
        """See `ImageEncoder.forward`; ``camera`` is not used."""
        last, pooled = self._maps(x)
        features = self._features(last, pooled, self._attention_pool(pooled, every_token=False)[:, 0])
        return features, pooled.flatten(2).transpose(1, 2) if places else None

    def forward_tokens(self, x: Tensor, camera: Tensor | None = None) -> TokenMaps:
        """See `ImageEncoder.forward_tokens`; ``camera`` is not used."""
        last, pooled = self._maps(x)
        tokens = self._attention_pool(pooled, every_token=True)
        return TokenMaps(self._features(last, pooled, tokens[:, 0]), last, pooled, as_map(tokens[:, 1:], self.config.grid))

    def _features(self, last: Tensor, pooled: Tensor, projected: Tensor) -> ImageFeatures:
        dtype = self.attnpool.positional_embedding.dtype
        return ImageFeatures(last.mean((2, 3)).to(dtype), pooled.mean((2, 3)).to(dtype), projected.to(dtype))

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self._check(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.act2(self.bn2(self.conv2(x)))
        x = self.avgpool(self.act3(self.bn3(self.conv3(x))))
        last = self.layer3(self.layer2(self.layer1(x)))
        return last, through(self.context_block, self.layer4(last))

    def _attention_pool(self, feature_map: Tensor, every_token: bool) -> Tensor:
        pool = self.attnpool
        tokens = feature_map.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1) + pool.positional_embedding
        queries = tokens if every_token else tokens[:, :1]
        attended = multi_head(pool.q_proj(queries), pool.k_proj(tokens), pool.v_proj(tokens), pool.num_heads)
        projected: Tensor = F.linear(attended, pool.c_proj.weight, pool.c_proj.bias)
        return projected


def as_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, h w, W) tokens, row by row, as a (B, W, h, w) map."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)


def _resized(table: Tensor, candidates: list[tuple[int, int]], config: EncoderConfig) -> nn.Parameter:
    source = grid_of_table(table, candidates)
    if source is None:
        raise UserError(f"A position table of {len(table)} rows fits no token grid.", "The weights belong to another input size.")
    return nn.Parameter(resize_positions(table.detach(), source, config.grid), requires_grad=table.requires_grad)
