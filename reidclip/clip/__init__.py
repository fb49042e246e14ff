"""CLIP over open_clip: image encoder with the three outputs of re-identification, text encoder that takes embeddings, prompts, heads.

Reading order: `load` (a spec becomes a `ClipModel`), `image_encoder`, `text_encoder`, `prompts`, `heads`, `inference`; other
towers are `timm_encoder`, `pooled_vit` and `blip_image`, found by `foreign_encoder`; `trunk` is an image encoder without text.
"""
