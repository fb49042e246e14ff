"""English captions in the manner of web captions: mostly clothes, a share with words about the person."""

from __future__ import annotations

import numpy as np

from reidclip.synth.identity import Identity
from reidclip.synth.outfit import Fabric, Outfit, Skirt, Top

_PLACES = {
    "street": "on a street", "foliage": "in front of trees", "shop": "in front of a shop", "corridor": "in a corridor",
    "plaza": "on a square",
}  # fmt: skip
_PATTERN_WORDS = {
    "vertically striped": "vertically striped", "colour-block": "two-tone", "camouflage": "camouflage", "striped": "striped",
    "checked": "checked", "dotted": "polka dot", "printed": "printed",
}  # fmt: skip


def _choose(rng: np.random.Generator, *options: str) -> str:
    return options[int(rng.integers(len(options)))]


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def noun(rng: np.random.Generator, identity: Identity, neutral: bool = False) -> str:
    """A word for the person."""
    if neutral:
        return _choose(rng, "person", "pedestrian", "person")
    if identity.age == "old" and rng.random() < 0.5:
        return _choose(rng, "old man", "elderly man") if identity.male else _choose(rng, "old woman", "elderly woman")
    if identity.age == "young" and rng.random() < 0.45:
        return _choose(rng, "young man", "guy", "boy") if identity.male else _choose(rng, "young woman", "girl", "young lady")
    return _choose(rng, "man", "man", "guy") if identity.male else _choose(rng, "woman", "woman", "lady")


def fabric_words(fabric: Fabric, both: bool = True) -> str:
    """``red and white striped``, ``blue``."""
    pattern = _PATTERN_WORDS.get(fabric.pattern, "")
    colour = fabric.colour
    if both and pattern in ("striped", "checked", "polka dot", "vertically striped", "two-tone"):
        colour = f"{fabric.colour} and {fabric.second}"
    return f"{colour} {pattern}".strip()


def top_words(top: Top) -> str:
    """``a red striped t-shirt``."""
    sleeve = ""
    if top.name in ("dress", "jumpsuit"):
        sleeve = "sleeveless " if top.sleeve < 0.05 else "long-sleeved " if top.sleeve > 0.4 else ""
    return _article(f"{sleeve}{fabric_words(top.fabric)} {top.name}")


def bottom_words(outfit: Outfit) -> str:
    """``blue jeans``, ``a green skirt``; empty for dresses and jumpsuits."""
    if outfit.is_dress or outfit.is_jumpsuit:
        return ""
    bottom = outfit.bottom
    if isinstance(bottom, Skirt):
        length = "long " if bottom.end < -0.4 else "short " if bottom.end > -0.2 else ""
        return _article(f"{length}{fabric_words(bottom.fabric)} {bottom.name}")
    return f"{fabric_words(bottom.fabric)} {bottom.name}"


def extra_words(outfit: Outfit) -> list[str]:
    """Phrases for what else is worn."""
    out = [f"{outfit.shoes.fabric.colour} {outfit.shoes.kind}"]
    for thing in (outfit.hat, outfit.scarf, outfit.bag):
        if thing is not None:
            out.append(_article(f"{thing.fabric.colour} {thing.kind}"))
    for thing in (outfit.gloves, outfit.socks):
        if thing is not None:
            out.append(f"{thing.fabric.colour} {thing.kind}")
    if outfit.sunglasses is not None:
        out.append("sunglasses")
    return out


def clothes_phrase(rng: np.random.Generator, outfit: Outfit, detail: float) -> str:
    """``a black jacket over a red t-shirt, blue jeans and white sneakers``."""
    top = top_words(outfit.top)
    if outfit.jacket is not None:
        jacket = top_words(outfit.jacket)
        top = f"{jacket} over {top}" if outfit.jacket.opening > 0 and rng.random() < 0.7 else jacket
    parts = [top]
    bottom = bottom_words(outfit)
    if bottom and rng.random() < 0.9:
        parts.append(bottom)
    extras = extra_words(outfit)
    parts += [e for e in extras if rng.random() < detail]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def hair_phrase(rng: np.random.Generator, identity: Identity) -> str:
    """``with long blond hair``."""
    style, colour = identity.hair_style, identity.hair_colour
    if style == "bald":
        return _choose(rng, "with a bald head", "who is bald", "without hair")
    if style in ("bob", "ponytail", "bun", "afro", "quiff"):
        name = {"bob": "bob haircut"}.get(style, style)
        if style in ("ponytail", "bun"):
            return _choose(rng, f"with {_article(colour)} {name}", f"with {colour} hair in a {name}")
        return f"with {_article(colour)} {name}"
    words = {"buzz cut": "very short", "side part": "short side-parted"}.get(style, style)
    return _choose(rng, f"with {words} {colour} hair", f"with {colour} {words} hair", f"who has {words} {colour} hair")


def identity_phrases(rng: np.random.Generator, identity: Identity, build: str, height: str) -> list[str]:
    """Phrases about the person, in random order."""
    out = [hair_phrase(rng, identity), _choose(rng, f"with {identity.skin} skin", f"of {identity.skin} complexion")]
    if identity.beard != "none":
        beard = {"full": "full beard", "stubble": "stubble", "moustache": "moustache", "goatee": "goatee"}[identity.beard]
        out += [f"with {beard}" if beard == "stubble" else f"with a {beard}"]
    elif identity.male and rng.random() < 0.25:
        out.append("without a beard")
    if identity.glasses != "none":
        out.append(_choose(rng, "wearing glasses", "with glasses", f"with {identity.glasses} glasses"))
    if build != "average":
        out.append(f"of {build} build")
    if height != "medium height":
        out.append(_choose(rng, f"who is {height}", f"of {height} stature"))
    order = rng.permutation(len(out))
    return [out[i] for i in order]


def captions(
    rng: np.random.Generator, identity: Identity, outfit: Outfit, build: str, height: str, view: str, pose: str, place: str, count: int = 4
) -> list[str]:
    """Varied captions of one picture: the first always about clothes alone, a third of the rest with identity words."""
    out = []
    for number in range(count):
        who = noun(rng, identity, neutral=rng.random() < 0.12)
        clothes = clothes_phrase(rng, outfit, float(rng.choice([0.0, 0.25, 0.6])))
        text = f"{_article(who)} {_choose(rng, 'wearing', 'in', 'dressed in', 'wearing')} {clothes}"
        kind = rng.random() if number else 1.0
        if kind < 0.4:
            about = identity_phrases(rng, identity, build, height)[: int(rng.integers(1, 3))]
            text = f"{_article(who)} {' and '.join(about)}, wearing {clothes}"
        elif kind < 0.55:
            text += f", {pose}" if pose != "standing" else ", standing"
        elif kind < 0.7:
            text += f" {_PLACES[place]}"
        elif kind < 0.8:
            text += {"front": ", seen from the front", "side": ", seen from the side", "back": ", seen from behind"}[view]
        out.append(_choose(rng, "", "", "a photo of ", "a picture of ", "a surveillance picture of ") + text)
    return out


def identity_captions(rng: np.random.Generator, identity: Identity, build: str, height: str) -> list[str]:
    """Two captions that say nothing about clothes."""
    out = []
    for number in range(2):
        phrases = identity_phrases(rng, identity, build, height)
        said = phrases if number == 0 else phrases[: int(rng.integers(1, 4))]
        who = {"young": "young ", "old": "old ", "adult": ""}[identity.age] + ("man" if identity.male else "woman")
        joined = said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]
        out.append(f"{_choose(rng, '', 'a photo of ', 'a face of ')}{_article(who)} {joined}")
    return out
