# Sourced by quickstart.sh and tests/run.sh: makes the commands of this checkout available.
# Uses the environment that is active when reidclip is installed in it from here, else makes .venv beside pyproject.toml.

setup_environment() {  # [extra]
  local extra="${1:-}" root target stamp
  root="$(pwd)"
  target=".${extra:+[$extra]}"
  if ! _ready "$root" "$extra"; then
    if [ ! -x .venv/bin/python ]; then
      echo "Making .venv and installing reidclip (torch is large: this takes minutes once) ..." >&2
      "${PYTHON:-python3}" -m venv .venv
    fi
    # shellcheck disable=SC1091
    source .venv/bin/activate
    stamp=".venv/.installed-${extra:-base}"
    if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
      python -m pip install --quiet --disable-pip-version-check --editable "$target"
      touch "$stamp"
    fi
  fi
  # Small matrices on few cores: more threads than cores only wait for each other.
  export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE="${HF_HUB_OFFLINE:-1}"
}

_ready() {  # root extra
  python - "$1" "$2" 2>/dev/null <<'PY'
import importlib.metadata, importlib.util, pathlib, sys
root, extra = sys.argv[1:]
sys.path.remove("")  # the current folder is this checkout: what counts is where an installed command would look
spec = importlib.util.find_spec("reidclip")
needed = ["torch", "open_clip", "typer"] + (["pytest", "hypothesis", "mypy", "importlinter", "ot", "onnxruntime", "faiss", "pymilvus", "fastapi", "playwright"] if extra == "dev" else [])
found = spec is not None and pathlib.Path(spec.origin).resolve().is_relative_to(pathlib.Path(root).resolve())
installed = any(d.metadata["Name"] == "reidclip" for d in importlib.metadata.distributions())
sys.exit(0 if found and installed and all(importlib.util.find_spec(n) for n in needed) else 1)
PY
}
