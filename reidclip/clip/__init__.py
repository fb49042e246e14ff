"""CLIP over open_clip: image encoder with the three outputs of re-identification, text encoder that takes embeddings, prompts, heads.

Reading order: `load` (a spec becomes a `ClipModel`), `image_encoder`, `text_encoder`, `prompts`, `heads`, `inference`; `trunk` is an image
encoder that is not CLIP's.
"""
