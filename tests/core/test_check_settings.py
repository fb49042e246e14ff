"""Settings that would do nothing, and methods that read text with an encoder that has none: told as the settings are resolved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reidclip import registry
from reidclip.errors import UserError
from reidclip.stages.choose import METHODS, method_for, settings_for


@pytest.mark.parametrize(
    ("method", "command", "given", "told"),
    [
        (
            "sci",
            "finetune",
            {"sim": False, "context_block": "self-attention"},
            "'context_block' of method sci does nothing with sim = false",
        ),
        ("sci", "finetune", {"cal_weight": 0, "cal_epsilon": 1.0}, "'cal_epsilon' of method sci does nothing with cal_weight = 0"),
        ("sci", "finetune", {"sse": False, "i2tce_text": "identity"}, "'i2tce_text' of method sci does nothing with sse = false"),
        ("sci", "prompt-learn", {"sse": False, "alpha": 2.0}, "'alpha' of method sci does nothing with sse = false"),
        ("cal", "finetune", {"variant": "none", "epsilon": 0.5}, "'epsilon' of method cal does nothing with variant = none"),
        ("cal", "finetune", {"momentum": 0.5}, "'momentum' of method cal does nothing with variant = classifier"),
        ("cal", "finetune", {"pair_loss": "euclidean"}, "'pair_loss' of method cal does nothing with triplet_weight = 0"),
    ],
)
def test_what_would_do_nothing_is_refused(method: str, command: str, given: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match="does nothing") as error:
        settings_for(method_for(method, command), command, None, None, given)
    assert told in error.value.what and error.value.remedy.startswith("Leave it out, or change ")


def test_a_settings_file_is_as_explicit_as_an_option(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[finetune]\nepsilon = 0.5\n")
    cal = method_for("cal", "finetune")
    with pytest.raises(UserError, match="'epsilon'"):
        settings_for(cal, "finetune", None, file, {"variant": "none"})
    assert settings_for(cal, "finetune", None, file, {"variant": "memory-mean"})


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("cal", {"variant": "none"}),  # the recipe has an epsilon
        ("sci", {"sim": False, "context_block": "none"}),
        ("sci", {"sim": False}),
        ("cal", {"triplet_weight": 1.0, "pair_loss": "euclidean"}),
        ("cal", {"variant": "memory-mean", "momentum": 0.5}),
    ],
)
def test_what_nobody_gave_may_lie_idle(method: str, given: dict[str, Any]) -> None:
    assert settings_for(method_for(method, "finetune"), "finetune", "tiny", None, given)


@pytest.mark.parametrize("name", [info.name for info in registry.all_infos(METHODS)])
def test_methods_name_settings_that_they_have(name: str) -> None:
    method: Any = registry.get(METHODS, name)
    for command, model in method.settings.items():
        assert set(method.without_effect(command, model())) <= set(model.model_fields)
    if "finetune" in method.settings:
        assert set(method.inherits) <= set(method.settings["finetune"].model_fields)


class TestText:
    @pytest.mark.parametrize("command", ["prompt-learn", "finetune"])
    def test_an_encoder_without_text_is_refused_where_text_is_read(self, command: str) -> None:
        with pytest.raises(UserError, match=r"'resnet50:r50\.pth' is an image encoder without text, which method sci reads"):
            settings_for(method_for("sci", command), command, None, None, {"clip": "resnet50:r50.pth"})

    def test_it_is_taken_where_none_is_read(self) -> None:
        assert settings_for(method_for("cal", "finetune"), "finetune", None, None, {"clip": "resnet50:r50.pth"})
        given = {"clip": "random:resnet50", "sim": False, "i2tce_weight": 0}
        assert settings_for(method_for("sci", "finetune"), "finetune", None, None, given)
