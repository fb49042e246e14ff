"""Packages that the toolkit declares and that are not there: how each is installed."""

from __future__ import annotations

_DISTRIBUTIONS = {
    "fastapi": "'reidclip[serve]'",
    "faiss": "'reidclip[index]'",
    "milvus_lite": "'reidclip[milvus]'",
    "onnx": "'reidclip[onnx]'",
    "onnxruntime": "'reidclip[onnx]'",
    "pyarrow": "'reidclip[parquet]'",
    "python_multipart": "'reidclip[serve]'",
    "pymilvus": "'reidclip[milvus]'",
    "uvicorn": "'reidclip[serve]'",
    "anny": "anny",
    "cv2": "opencv-python",
    "h5py": "h5py",
    "numpy": "numpy",
    "open_clip": "open_clip_torch",
    "PIL": "pillow",
    "pydantic": "pydantic",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "timm": "timm",  # open_clip brings it
    "tomli": "tomli",
    "torch": "torch",
    "torchvision": "torchvision",
    "transformers": "transformers",
}  # modules by the distribution that has them


def install(error: ModuleNotFoundError) -> str:
    """How to install what was not found; "" where that is no package of these, or only a part of one that is there."""
    distribution = _DISTRIBUTIONS.get(error.name or "")
    return f"Install it: pip install {distribution}" if distribution else ""
