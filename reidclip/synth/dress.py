"""Puts a person into an outfit: the order in which layers are built."""

from __future__ import annotations

import numpy as np

from reidclip.synth import labels
from reidclip.synth.bags import add_bag
from reidclip.synth.body import BodyModel, Shape
from reidclip.synth.figure import Figure, Material, Wardrobe
from reidclip.synth.garments import add_feet, add_scarf, add_skirt, add_top, add_trousers
from reidclip.synth.head import add_glasses, add_hair, add_hat
from reidclip.synth.identity import Identity
from reidclip.synth.outfit import Outfit, Skirt


def dress(body: BodyModel, shape: Shape, identity: Identity, outfit: Outfit) -> Figure:
    """The person in the outfit, in rest pose."""
    wardrobe = Wardrobe(body, shape, identity, outfit)
    if isinstance(outfit.bottom, Skirt):
        add_skirt(wardrobe, outfit.bottom)
    else:
        add_trousers(wardrobe, outfit.bottom)
    add_top(wardrobe, outfit.top)
    if outfit.jacket is not None:
        add_top(wardrobe, outfit.jacket, outer=True)
    if outfit.coat_skirt is not None:
        add_skirt(wardrobe, outfit.coat_skirt)
    add_feet(wardrobe)
    if outfit.scarf is not None:
        add_scarf(wardrobe, outfit.scarf)
    add_hair(wardrobe)
    if outfit.hat is not None:
        add_hat(wardrobe, outfit.hat)
    if outfit.sunglasses is not None:
        add_glasses(wardrobe, "wide", dark=True)
    elif identity.glasses != "none":
        add_glasses(wardrobe, identity.glasses, dark=False)
    if outfit.bag is not None:
        add_bag(wardrobe, outfit.bag)
    _add_body(wardrobe)
    return wardrobe.finish()


def _add_body(wardrobe: Wardrobe) -> None:
    """The skin that clothes leave visible, and the eyes."""
    body, outfit = wardrobe.body, wardrobe.outfit
    visible = np.where(wardrobe.hidden, -1, 1).astype(np.float32)
    rows = body.body.rows
    faces_seen = ~wardrobe.hidden[rows][body.body.faces].all(1)
    surface = type(body.body)(rows, body.body.faces[faces_seen], body.body.ring)
    hand = body.is_hand[rows]
    vertices = wardrobe.shape.vertices[rows]
    ones = np.ones(len(rows), np.float32)
    if outfit.gloves is not None:
        is_hand = hand[surface.faces].any(1)
        glove = type(body.body)(rows, surface.faces[is_hand], surface.ring)
        wardrobe.add_shell(glove, vertices, ones, Material(labels.GLOVE, "plain", outfit.gloves.fabric))
        surface = type(body.body)(rows, surface.faces[~is_hand], surface.ring)
    wardrobe.add_shell(surface, vertices, ones, Material(-1, "skin"))
    eyes = body.eyes
    wardrobe.add_shell(eyes, wardrobe.shape.vertices[eyes.rows], visible[eyes.rows], Material(labels.FACE, "eye"))
