"""The protocols of generalisable re-identification as data: train on some data sets, test on others, no adaptation.

Which data sets, and which of their splits, as in CLIP-FGDI and its published program; the field calls them protocols 1, 2
and 3. CUHK-SYSU has training pictures alone, and CUHK02 is always taken whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reidclip.errors import UserError, nearest

PREFIX = "dg-"


@dataclass(frozen=True)
class Generalisation:
    """One protocol.

    Attributes:
        name: "dg-2:msmt17".
        sources: layouts that are trained on.
        whole: sources are trained on with all their pictures (train, query, gallery, val); else with their training split.
        targets: layouts that are evaluated, none of whose pictures may be trained on; the result is the plain mean over them.
        evaluated: the targets' own protocol that papers report; of CUHK03 the new division with labelled boxes.
    """

    name: str
    sources: tuple[str, ...]
    whole: bool
    targets: tuple[str, ...]
    evaluated: str = "general"

    @property
    def train_splits(self) -> tuple[str, ...]:
        """The setting train_splits of a training for it."""
        return ("all",) if self.whole else ("train",)

    @property
    def family(self) -> str:
        """ "dg-2", the name without its variant."""
        return self.name.partition(":")[0]


_ROTATED = ("market1501", "msmt17", "cuhk03")  # of protocols 2 and 3: two of them and CUHK-SYSU train, the third is the target


def _leave_out(number: int, target: str, whole: bool) -> Generalisation:
    sources = (*(layout for layout in _ROTATED if layout != target), "cuhk_sysu")
    return Generalisation(f"dg-{number}:{target}", sources, whole, (target,))


PROTOCOLS: tuple[Generalisation, ...] = (
    Generalisation("dg-1", ("market1501", "cuhk_sysu", "cuhk02", "cuhk03"), True, ("prid", "grid", "viper", "ilids")),
    *(_leave_out(2, target, whole=False) for target in ("cuhk03", "msmt17", "market1501")),
    *(_leave_out(3, target, whole=True) for target in ("cuhk03", "msmt17", "market1501")),
)


def is_generalisation(name: str) -> bool:
    """Whether a protocol's name asks for one of these, or for one that there is not."""
    return name.startswith(PREFIX)


def variants(name: str) -> tuple[Generalisation, ...]:
    """The protocol of that name, or all variants where the name leaves open which ("dg-2").

    Raises:
        UserError: there is none; names the nearest.
    """
    found = tuple(p for p in PROTOCOLS if name in (p.name, p.family))
    if not found:
        known = {p.name for p in PROTOCOLS} | {p.family for p in PROTOCOLS}
        raise UserError(f"There is no protocol '{name}' of generalisation.", nearest(name, known))
    return found


def fitting(candidates: Sequence[Generalisation], layouts: Sequence[str]) -> Generalisation:
    """The variant whose sources these layouts are.

    Raises:
        UserError: there are several variants, and none has these sources.
    """
    if len(candidates) == 1:
        return candidates[0]
    found = next((p for p in candidates if sorted(p.sources) == sorted(layouts)), None)
    if found is None:
        told = "; ".join(f"{p.name}: {', '.join(p.sources)}" for p in candidates)
        raise UserError(
            f"No variant of {candidates[0].family} has the sources {', '.join(layouts) or 'of this checkpoint'}.", f"They have {told}."
        )
    return found
