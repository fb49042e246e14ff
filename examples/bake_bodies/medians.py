"""Keep the medians of anny's population, which words for bodies are relative to, inside the package.

    python examples/bake_bodies/medians.py

To be run after the body asset was baked anew, or a measurement was defined anew; until then they are computed whenever they are needed.
"""

from __future__ import annotations

import json

from reidclip.bodies.population import ASSETS, recording
from reidclip.bodies.spec import open_body

if __name__ == "__main__":
    body = open_body("anny")
    file = ASSETS / f"{body.name}_medians.json"
    file.write_text(json.dumps(recording(body), indent=1) + "\n", "utf-8")
    print(file)
