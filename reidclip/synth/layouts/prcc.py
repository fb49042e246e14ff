"""The tree of PRCC: cameras A and B show a person's first outfit in two places, camera C the others on another day."""

from __future__ import annotations

from reidclip.synth.layouts.base import NO_LIMIT, Options, Plan, Shot, Span, SynthLayout, fixed_camera, pid_name


class PrccLayout(SynthLayout):
    """Training and test people as in PRCC; with more than two outfits camera C's pictures rotate through the later ones.

    With ``control`` the test people also appear under camera C in their first outfit (``rgb/test/C_same``), which tells
    the effect of changed clothes from that of a changed camera.
    """

    name = "prcc"
    title = "PRCC: cameras A, B (same clothes) and C (other clothes)"
    options = Options(
        ids=NO_LIMIT, images=999, outfits=Span(2, NO_LIMIT, 2), test_part=3, others=frozenset({"control", "val_images", "style"})
    )  # fmt: skip

    def shots(self, plan: Plan, pid: int) -> list[Shot]:
        """The pictures of one person, in the order in which they are described."""
        cameras = [fixed_camera(plan, name, number) for number, name in enumerate("ABC")]
        person = pid_name(plan, pid)
        test = plan.is_test(pid)
        out = []
        for camera in cameras:
            for n in range(plan.images_per_camera + (0 if test else plan.val_images)):
                outfit = 0 if camera.name != "C" else 1 + n % (plan.outfits - 1)
                file = f"cropped_rgb{n + 1:03d}.jpg"
                if test:
                    split, path = "test", f"rgb/test/{camera.name}/{person}/{file}"
                else:
                    split = "train" if n < plan.images_per_camera else "val"
                    path = f"rgb/{split}/{person}/{camera.name}_{file}"
                out.append(Shot(path, pid, camera, outfit, n, split))
        if test and plan.control:
            first = plan.images_per_camera
            for n in range(plan.images_per_camera):
                out.append(Shot(f"rgb/test/C_same/{person}/cropped_rgb{n + 1:03d}.jpg", pid, cameras[2], 0, first + n, "test"))
        return out
