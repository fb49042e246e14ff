"""What a wrong setting is told: every mistake, each list of keys once, and the command that a key belongs to."""

from __future__ import annotations

import pytest

from reidclip.errors import UserError
from reidclip.settings import Settings, resolve


class Learn(Settings):
    """Of one command."""

    epochs: int = 1
    tokens: int = 4


class Tune(Settings):
    """Of another command of the same method."""

    epochs: int = 1
    identities: int = 16


COMMANDS = {"prompt-learn": Learn, "finetune": Tune}


def message(values: dict[str, object], plugin: str | None = "m") -> UserError:
    with pytest.raises(UserError) as caught:
        resolve(Learn, values, where="settings", plugin=plugin, commands=COMMANDS)
    return caught.value


def test_a_key_of_another_command_names_it() -> None:
    error = message({"identities": 4})
    assert error.what == "Wrong settings: unknown key 'identities'. It is a setting of `finetune`."
    assert error.remedy == "See `reidclip plugins show m` for every key."


@pytest.mark.parametrize("plugin", ["m", None])
def test_keys_are_listed_once_however_many_are_wrong(plugin: str | None) -> None:
    error = message({"epoch": 3, "colour": 1, "identities": 4, "tokens": "many"}, plugin)
    told = f"{error.what} {error.remedy}"
    assert "unknown key 'epoch'. Did you mean 'epochs'?" in told and "unknown key 'colour'." in told
    assert "It is a setting of `finetune`." in told and "key 'tokens'" in told
    assert told.count("epochs, tokens") == 1


def test_a_value_alone_lists_no_keys() -> None:
    assert "Known:" not in message({"tokens": "many"}).what
