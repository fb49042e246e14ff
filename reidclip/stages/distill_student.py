"""Whether a network that was named as a student can be one; nothing is built."""

from __future__ import annotations

from reidclip.clip.sources import weights_file
from reidclip.clip.student import no_student
from reidclip.clip.timm_net import is_network, known_name
from reidclip.clip.trunk_source import is_timm, is_without_text
from reidclip.errors import UserError


def check_student(spec: str) -> None:
    """The spec names a network without text that there is, with weights that are there.

    Raises:
        UserError: a network of another spelling, of an unknown name, a CLIP, or a file that is missing.
    """
    if not is_without_text(spec):
        bare = spec.removeprefix("random:").partition("@")[0]
        if is_network(bare):
            raise UserError(
                f"'{spec}' is no student, but timm has a network of that name.", f"Did you mean {spec.replace(bare, f'timm:{bare}')}?"
            )
        raise no_student()
    if is_timm(spec):
        known_name(spec.removeprefix("random:").removeprefix("timm:").partition(":")[0].partition("@")[0])
    file = weights_file(spec)
    if file is not None and not file.is_file():
        raise UserError(
            f"There is no file {file} with the student's weights.", "Name an existing one, or random weights: random:timm:NAME."
        )
