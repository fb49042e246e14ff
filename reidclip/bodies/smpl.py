"""SMPL, from the user's own files: Loper, Mahmood, Romero, Pons-Moll, Black, "SMPL: A Skinned Multi-Person Linear Model", 2015.

Neither the files nor a program of their makers is part of this package: their licence is non-commercial. This module imports nothing heavy:
the session is `reidclip.bodies.smpl_session.SmplBody`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reidclip.bodies.smpl_session import SmplBody


class _Smpl:
    name = "smpl"
    title = "SMPL, first 10 shape directions, from your own files (Loper et al., 2015)"
    licence = (
        "The body model SMPL and what is made with it are under the licence of the Max Planck Society: "
        "non-commercial scientific research only, https://smpl.is.tue.mpg.de/modellicense.html."
    )

    def open(self, file: Path | None) -> SmplBody:
        """The body model of a file, or of the files of a folder.

        Args:
            file: a .pkl or .npz file of one model (10 shape parameters); or a folder: with files of both sexes an eleventh parameter, 0
                for male and 1 for female, mixes the two models; else the neutral file, else the one that is there.

        Raises:
            UserError: nothing given, no such file, a file of another body model, a broken one, or a pickle that names strange things.
        """
        from reidclip.bodies.smpl_file import find_smpl, read_smpl
        from reidclip.bodies.smpl_session import SmplBody

        return SmplBody([read_smpl(path) for path in find_smpl(file)])


BODY = _Smpl()
