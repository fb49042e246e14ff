#!/usr/bin/env bash
# From nothing to a cloth-changing result, offline, on a laptop: renders people, masks their clothes, learns prompts, fine-tunes
# baseline, CLIP-ReID and CCAF, compares them, and shows them on a page (report.html). A second run reuses what is there; remove ./quickstart to start afresh.
set -euo pipefail
cd "$(dirname "$0")/.."
source examples/setup.sh
setup_environment

work="${QUICKSTART_DIR:-quickstart}"
data="$work/prcc"
export REIDCLIP_STORE="$work/artifacts"
step() { printf '\n\033[1m$ reidclip %s\033[0m\n' "$*" >&2; reidclip "$@"; }
have() { reidclip artifacts show "$1" >/dev/null 2>&1; }

[ -f "$data/attributes.jsonl" ] || step synth "$data" --layout prcc --ids 150 --test-ids 50 --outfits 2 --images-per-camera 4 --seed 1 --workers 2

have masks/schp-tiny-prcc || step mask --parser schp "$data" --preview
have evaluation/zero-shot-reidclip-tiny-prcc || step evaluate --zero-shot "$data"
for method in baseline clipreid ccaf; do
  have "evaluation/$method-prcc" && continue
  [ "$method" = baseline ] || have "prompts/$method-prcc" || step prompt-learn --method "$method"
  have "checkpoint/$method-prcc" || step finetune --method "$method"
  step evaluate --checkpoint "$method-prcc"
done

evaluations=(zero-shot-reidclip-tiny-prcc baseline-prcc clipreid-prcc ccaf-prcc)
[ -f "$work/report.html" ] || step report "${evaluations[@]}" --output "$work/report.html"
python examples/compare.py "$REIDCLIP_STORE" "${evaluations[@]}"
