"""Errors of the commands' library twins name the commands' options; a table says the same things in its own places."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from reidclip.errors import ReidclipError
from reidclip.train.settings import DistillSettings, FinetuneSettings, ModelSettings, PromptLearnSettings

_SET = re.compile(r"(--set '?)([a-z_0-9]+)(?==)")
_PLACES = {
    r"--fresh\b": "the folder removed",
    r"--dataset (\w+)": r'layout = "\1" in the table',
    r"--recipe ([\w-]+)": r'recipe = "\1" in the row',
    r"--method ([\w-]+)": r'method = "\1" in the row',
    r"--clip ([^\s,;]*[^\s,;.])": r"--set common.clip=\1",
    r"--meshes ([^\s,;]*[^\s,;.])": r'meshes = "\1" in the table',
    r"--student ([^\s,;]*[^\s,;.])": r"--set distill.student=\1",
    r"--protocol ([\w-]+)": r'protocols = ["\1"] in the table',
}


@contextmanager
def in_words_of_a_table() -> Iterator[None]:
    """Raise errors again, their options replaced by what the program and its tables have."""
    try:
        yield
    except ReidclipError as error:
        what, remedy = translated(error.what), translated(error.remedy)
        if (what, remedy) == (error.what, error.remedy):
            raise
        raise type(error)(what, remedy) from error


def translated(text: str) -> str:
    """``--set identities=4`` -> ``--set finetune.identities=4``, ``--dataset prcc`` -> ``layout = "prcc" in the table`` ..."""
    text = _SET.sub(lambda found: f"{found[1]}{_command_of(found[2])}.{found[2]}", text)
    for option, place in _PLACES.items():
        text = re.sub(option, place, text)
    return text


def _command_of(key: str) -> str:
    """The table of [settings] that a key goes to: what no command's own settings know is a method's, of fine-tuning."""
    if key in ModelSettings.model_fields:
        return "common"
    if key in FinetuneSettings.model_fields:
        return "finetune"
    if key in PromptLearnSettings.model_fields:
        return "prompt-learn"
    return "distill" if key in DistillSettings.model_fields else "finetune"
