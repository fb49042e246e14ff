"""What a wrong setting is told: every mistake, each list of keys once, and the command that a key belongs to."""

from __future__ import annotations

import pytest
from pydantic import model_validator

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


class Pair(Settings):
    """Keys that have to fit together."""

    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> Pair:
        if self.low > self.high:
            raise ValueError("low may not be above high.")
        return self


class Nested(Settings):
    """With a table."""

    pair: Pair = Pair()


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


@pytest.mark.parametrize(
    ("model", "values", "told"),
    [
        (Pair, {"low": 3}, "Wrong settings: low may not be above high."),
        (Nested, {"pair": {"low": 3}}, "Wrong settings: table 'pair': low may not be above high."),
    ],
)
def test_keys_that_do_not_fit_together_are_told_by_the_sentence_alone(model: type[Settings], values: dict[str, object], told: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve(model, values, where="settings", plugin="m")
    assert caught.value.what == told
