"""The tree of VC-Clothes: four cameras, the first three in one outfit, the fourth in another."""

from __future__ import annotations

from reidclip.synth.layouts.base import Options, Plan, Shot, Span, SynthLayout, fixed_camera

_CAMERAS = 4
_OTHER_CLOTHES = 4  # the camera that shows other clothes than camera 3


class VcClothesLayout(SynthLayout):
    """``train``, ``query`` and ``gallery``, flat.

    Cameras 1, 2 and 3 show a person's first outfit, camera 4 the others in turn: cameras 2 and 3 make the same-clothes
    test, cameras 3 and 4 the cloth-changing one. Of every test person and camera one more picture is taken, the query.
    """

    name = "vcclothes"
    title = "VC-Clothes: cameras 1, 2, 3 (same clothes) and 4 (other clothes)"
    options = Options(ids=9999, images=98, outfits=Span(2, 99, 2), others=frozenset({"style"}))

    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""
        test = plan.is_test(pid)
        out = []
        for number in range(1, _CAMERAS + 1):
            camera = fixed_camera(plan, f"{number:02d}", number - 1)
            for n in range(plan.images_per_camera + test):
                outfit = 1 if number != _OTHER_CLOTHES else 2 + n % (plan.outfits - 1)
                split = "train" if not test else "gallery" if n else "query"
                path = f"{split}/{pid:04d}-{camera.name}-{outfit:02d}-{n + 1:02d}.jpg"
                out.append(Shot(path, pid, camera, outfit, n, split))
        return out
