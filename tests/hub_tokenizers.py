"""Tokenizers of Hugging Face's kind, of some dozen words, written as the files that the hub offers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_WORDS = ("a", "photo", "of", "person", "man", "in", "red", "coat", "the", "is", "it", "to", "x")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")


def sentencepiece_folder(folder: Path, *, x_is_a_word: bool = True) -> Path:
    """As SigLIP's: words begin with the space before them, one mark at the end, padding is that mark. 64 tokens at most."""
    words = [f"▁{word}" for word in _WORDS if x_is_a_word or word != "x"]
    vocabulary: list[list[Any]] = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", -20.0], ["▁", -6.0]]
    vocabulary += [[word, -2.0] for word in words] + [[letter, -8.0] for letter in _LETTERS]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    end = {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}
    single = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    document = {
        "version": "1.0",
        "added_tokens": [_special(i, text) for i, text in enumerate(("<pad>", "</s>", "<unk>"))],
        "normalizer": None,
        "pre_tokenizer": metaspace,
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": end},
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocabulary, "byte_fallback": False},
    }
    marks = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    return _written(folder, document, {"tokenizer_class": "PreTrainedTokenizerFast", **marks})


def wordpiece_folder(folder: Path) -> Path:
    """As BERT's: lower case, marks at start and end, padding 0. 64 tokens at most."""
    marks = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".")
    words = [*marks, *_WORDS, *(letter for letter in _LETTERS if letter not in _WORDS), *(f"##{letter}" for letter in _LETTERS)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}))
    return folder


def _special(number: int, text: str) -> dict[str, Any]:
    return {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def _written(folder: Path, document: dict[str, Any], config: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(document))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
