"""All pictures of one person: from numbers to picture, label map and description. Pure: no files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from reidclip.synth.body import BodyModel, Shape
from reidclip.synth.camera import sample_view
from reidclip.synth.captions import bottom_words, captions, extra_words, identity_captions, top_words
from reidclip.synth.compose import sample_response
from reidclip.synth.dress import dress
from reidclip.synth.figure import Figure
from reidclip.synth.framing import reframe
from reidclip.synth.identity import Identity, identity_rng, sample_identity
from reidclip.synth.layouts.base import Plan, Shot, pid_name
from reidclip.synth.measure import build_words, measure
from reidclip.synth.outfit import Fabric, Outfit, outfit_rng
from reidclip.synth.pose import POSES
from reidclip.synth.render import Picture, Setting, render
from reidclip.synth.styles import STYLES, outfit_for

_POSE_SHARES = (0.72, 0.14, 0.08, 0.06)


class Person:
    """A person of a data set, able to be photographed.

    Outfits and pictures have random streams of their own, so neither depends on who wears or shows what else.
    """

    def __init__(self, body: BodyModel, plan: Plan, pid: int) -> None:
        self.body, self.plan, self.pid = body, plan, pid
        self.identity: Identity = sample_identity(identity_rng(plan.seed, pid))
        sliders = body.with_stature(self.identity.sliders, self.identity.stature)
        self.shape: Shape = body.shape(sliders)
        self.measurements = measure(body, self.shape)
        self.build, self.height = build_words(self.measurements, sliders.phenotype["muscle"], self.identity.male)
        self.outfit = lru_cache(maxsize=16)(self._outfit)
        self.figure = lru_cache(maxsize=4)(self._figure)

    def _outfit(self, number: int) -> Outfit:
        """The person's outfit with this number."""
        season = "any" if self.plan.style is None else STYLES[self.plan.style].season
        return outfit_for(season, outfit_rng(self.plan.seed, self.pid, number), self.identity.male)

    def _figure(self, outfit: int) -> Figure:
        return dress(self.body, self.shape, self.identity, self.outfit(outfit))

    def photograph(self, shot: Shot) -> tuple[Picture, dict[str, object]]:
        """Take a picture and describe it."""
        rng = np.random.default_rng(np.random.SeedSequence([self.plan.seed, 3, self.pid, shot.camera.number, shot.number]))
        camera = shot.camera
        view = sample_view(rng, camera.elevation, camera.cut_feet)
        setting = Setting(
            view=view if shot.framing == "whole" else reframe(view, shot.framing, rng),
            pose=str(rng.choice(POSES, p=_POSE_SHARES)),
            place=camera.places[int(rng.integers(len(camera.places)))],
            response=camera.response or sample_response(rng),
            occluded=bool(rng.random() < camera.occluded),
            daylight=camera.daylight,
        )
        picture = render(self.body, self.figure(shot.outfit), self.identity, setting, rng, self.plan.height, self.plan.width)
        record = self._describe(shot, setting, picture, rng)
        return picture, record if shot.named is None else _as_named(shot, record)

    def _describe(self, shot: Shot, setting: Setting, picture: Picture, rng: np.random.Generator) -> dict[str, object]:
        identity, outfit = self.identity, self.outfit(shot.outfit)
        person = pid_name(self.plan, self.pid)
        view = setting.view
        return {
            "path": shot.path,
            "parsing": shot.parsing,
            "pid": self.pid,
            "camid": shot.camera.number,
            "camera": shot.camera.name,
            "subset": shot.split,  # not "split": the table must not be taken for the index of a folder layout
            "clothes_id": f"{person}_{shot.outfit}",
            "identity": {
                "gender": identity.gender,
                "age": identity.age,
                "skin": identity.skin,
                "hair_style": identity.hair_style,
                "hair_colour": "none" if identity.hair_style == "bald" else identity.hair_colour,
                "beard": identity.beard,
                "glasses": identity.glasses,
                "build": self.build,
                "height": self.height,
            },
            "measurements": self.measurements,
            "outfit": describe_outfit(outfit),
            "pose": setting.pose,
            "view": {
                "word": view.word,
                "azimuth_deg": round(view.azimuth, 1),
                "elevation_deg": round(view.elevation, 1),
                "distance_m": round(view.distance, 2),
            },
            "place": picture.place,
            "occluder": picture.occluder,
            "box_xywh": list(picture.box),
            "captions": captions(rng, identity, outfit, self.build, self.height, view.word, setting.pose, picture.place),
            "identity_captions": identity_captions(rng, identity, self.build, self.height),
        }


def _as_named(shot: Shot, record: dict[str, object]) -> dict[str, object]:
    """The record of a picture whose tree does not tell who is shown: ``shown_pid`` does, and what is not to be seen is taken out."""
    record |= {"pid": shot.named, "shown_pid": shot.pid, "framing": shot.framing}
    if shot.framing != "whole":  # half a person does not show what a caption says
        record |= {"captions": [], "identity_captions": []}
    if shot.framing == "beside":
        record |= dict.fromkeys(("shown_pid", "clothes_id", "identity", "measurements", "outfit", "pose", "view"))
    return record


def describe_outfit(outfit: Outfit) -> dict[str, object]:
    """Garments with colours and patterns."""

    def cloth(name: str, fabric: Fabric) -> dict[str, str]:
        return {"name": name, "colour": fabric.colour, "second_colour": fabric.second, "pattern": fabric.pattern}

    worn: dict[str, object] = {"top": cloth(outfit.top.name, outfit.top.fabric), "bottom": cloth(outfit.bottom.name, outfit.bottom.fabric)}
    if outfit.jacket is not None:
        worn["jacket"] = cloth(outfit.jacket.name, outfit.jacket.fabric)
    for slot in ("shoes", "socks", "hat", "scarf", "gloves", "sunglasses", "bag"):
        thing = getattr(outfit, slot)
        if thing is not None:
            worn[slot] = cloth(thing.kind, thing.fabric)
    words = [top_words(outfit.top), bottom_words(outfit), *extra_words(outfit)]
    worn["words"] = ", ".join(w for w in words if w)
    return worn


def photographs(body: BodyModel, plan: Plan, pid: int, shots: list[Shot]) -> Iterator[tuple[Shot, Picture, dict[str, object]]]:
    """Take the pictures of one person."""
    person = Person(body, plan, pid)
    for shot in shots:
        picture, record = person.photograph(shot)
        yield shot, picture, record
