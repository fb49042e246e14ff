"""The 20 labels of the LIP data set and what this generator means by them.

Two choices follow what LIP-trained parsers do in practice: the skin of neck and chest counts as `FACE`, and carried
things (bags, straps) have no label of their own, so they are `BACKGROUND`.
"""

from __future__ import annotations

(
    BACKGROUND,
    HAT,
    HAIR,
    GLOVE,
    GLASSES,
    UPPER,
    DRESS,
    COAT,
    SOCKS,
    PANTS,
    JUMPSUIT,
    SCARF,
    SKIRT,
    FACE,
    LEFT_ARM,
    RIGHT_ARM,
    LEFT_LEG,
    RIGHT_LEG,
    LEFT_SHOE,
    RIGHT_SHOE,
) = range(20)

CLOTHES = (UPPER, DRESS, COAT, SOCKS, PANTS, JUMPSUIT, SCARF, SKIRT)
"""Labels that change with the outfit and hide skin (hats, gloves and shoes aside)."""
