"""Settings files, and files of label sets, with one mistake each."""

from __future__ import annotations

from pathlib import Path

from tests.cli.error_inputs.place import Place


def config(place: Place, argument: str) -> Path:
    """``config:NAME``: ``mine.toml`` with the text of `_TEXTS`, which an error has to name."""
    path = place.root / "mine.toml"
    path.write_bytes(_TEXTS[argument])
    return path


_TEXTS: dict[str, bytes] = {
    "syntax": b"[finetune\nepochs = 3\n",
    "doubled_key": b"[finetune]\nepochs = 3\nepochs = 4\n",
    "not_utf8": b"[finetune]\n# \xff\xfe\n",
    "unknown_key": b"[finetune]\nepoch = 3\n",
    "unknown_key_parse": b"[parse]\nbatchsize = 3\n",
    "unknown_key_mask": b"[mask]\ndilate = 3\n",
    "unknown_key_common": b"[common]\nwidht = 64\n",
    "unknown_table": b"[fine-tune]\nepochs = 3\n",
    "no_table": b"epochs = 3\n",
    "table_is_a_value": b"finetune = 3\n",
    "common_is_a_list": b"[[common]]\nwidth = 64\n",
    "wrong_type": b"[finetune]\nepochs = 'many'\n",
    "out_of_range": b"[finetune]\nepochs = -1\n",
    "two_mistakes": b"[finetune]\nepochs = -1\nlearning_rate = 1\n",
    "unknown_key_evaluate": b"[evaluate]\nflp = true\n",
    "clothes_alone": b'clothes = ["Top"]\n',
    "doubled_label": b'labels = ["Background", "Top", "Top"]\n',
    "unknown_clothes": b'labels = ["Background", "Top"]\nclothes = ["Topp"]\n',
    "fewer_colours": b'labels = ["Background", "Top"]\ncolours = [[0, 0, 0]]\n',
    "settings_as_yaml": b"finetune:\n  epochs: 3\n",
    "empty": b"",
    "of_other_commands": b"[common]\nheight = 32\nwidth = 16\ndilation = 1\n[finetune]\nepochs = 3\n",
}

BUILDERS = (config,)
