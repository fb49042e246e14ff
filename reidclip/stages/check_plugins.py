"""What `reidclip plugins check` looks for: a plugin that loads, keeps its Protocol, and whose papers and recipes agree with its code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reidclip import registry
from reidclip.errors import ReidclipError
from reidclip.evaluation.settings import EvaluateSettings
from reidclip.interfaces import GROUPS
from reidclip.recipes import HEADER, read_recipe, recipe_names
from reidclip.registry import PluginInfo, kind_of
from reidclip.settings import Settings, read_toml, resolve
from reidclip.stages.equations import mismatches
from reidclip.stages.plugins import all_plugins, folder_of, recipe_files, settings_of
from reidclip.stages.published import PUBLISHED_FILE, read_published

STAGE_FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "prompt-learn": ("prompt_stages", "prompt_tensors"),
    "finetune": ("finetune_stages", "encoder"),
    "distill": ("distill_stages", "encoder"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one plugin."""

    kind: str
    name: str
    problem: str


def check_plugins() -> list[Finding]:
    """Everything wrong with any registered plugin; [] when all is well."""
    return [Finding(kind_of(info.group), info.name, problem) for info in all_plugins() for problem in check_plugin(info)]


def check_plugin(info: PluginInfo) -> list[str]:
    """Sentences about one plugin: does it load, keep its Protocol, agree with its PAPER.md, and have recipes that validate."""
    if info.object is None:
        return [f"cannot be loaded: {info.error}"]
    problems = _protocol_problems(info.object, GROUPS[info.group])
    if problems:
        return problems  # what follows leans on the Protocol
    checks: list[Callable[[PluginInfo], list[str]]] = [_name_problems]
    if info.group == "reidclip.methods":
        checks += [_stage_problems, _implementation_problems, _paper_problems, _recipe_problems, _published_problems]
    return [problem for check in checks for problem in check(info)]


def _protocol_problems(plugin: object, protocol: type) -> list[str]:
    problems = []
    for name in (*protocol.__annotations__, *(n for n, v in vars(protocol).items() if inspect.isfunction(v) and not n.startswith("_"))):
        if not hasattr(plugin, name):
            problems.append(f"lacks '{name}' of {protocol.__name__} (reidclip/interfaces.py)")
            continue
        wanted = vars(protocol).get(name)
        if inspect.isfunction(wanted):
            problems += _signature_problems(name, getattr(plugin, name), wanted)
    return problems


def _signature_problems(name: str, given: object, wanted: Callable[..., Any]) -> list[str]:
    if not callable(given):
        return [f"'{name}' is not a function"]
    arguments = list(inspect.signature(wanted).parameters)[1:]  # without self
    try:
        inspect.signature(given).bind(*arguments)
    except TypeError:
        return [f"'{name}' does not take ({', '.join(arguments)})"]
    except ValueError:  # a builtin without a signature: nothing to compare
        pass
    return []


def _name_problems(info: PluginInfo) -> list[str]:
    own = getattr(info.object, "name", None)
    return [] if own == info.name else [f"is registered as '{info.name}' but calls itself {own!r}"]


def _stage_problems(info: PluginInfo) -> list[str]:
    method: Any = info.object
    problems = [
        f"stage '{s}' is no command that trains; known: {', '.join(STAGE_FUNCTIONS)}" for s in method.stages if s not in STAGE_FUNCTIONS
    ]
    problems += [f"stage '{s}' has no settings class" for s in method.stages if s not in settings_of(method)]
    wrong = [s for s, model in settings_of(method).items() if not (isinstance(model, type) and issubclass(model, Settings))]
    return problems + [f"settings of '{s}' are no subclass of reidclip.settings.Settings" for s in wrong]


def _implementation_problems(info: PluginInfo) -> list[str]:
    """A `LazyMethod` names a module that nobody has imported yet: look into its text for the functions that its stages need."""
    method: Any = info.object
    module = getattr(method, "implementation", None)
    if module is None:
        return []
    spec = _spec_of(str(module))
    if spec is None or spec.origin is None:
        return [f"its implementation {module} does not exist"]
    defined = _top_level_names(Path(spec.origin))
    needed = [f for stage in method.stages for f in STAGE_FUNCTIONS.get(stage, ())]
    return [f"{module} defines no '{f}'" for f in needed if f not in defined]


def _spec_of(module: str) -> ModuleSpec | None:
    try:
        return find_spec(module)
    except (ImportError, ValueError):
        return None


def _top_level_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _paper_problems(info: PluginInfo) -> list[str]:
    try:
        return mismatches(folder_of(info.object))
    except ReidclipError as error:
        return [error.what]


def _recipe_problems(info: PluginInfo) -> list[str]:
    files = recipe_files(info.object)
    if not files:
        return [f"has no recipe in {folder_of(info.object) / 'recipes'}; the commands start from one"]
    return [problem for path in files for problem in _one_recipe(info, path)]


def _one_recipe(info: PluginInfo, path: Path) -> list[str]:
    method: Any = info.object
    models: dict[str, type[Settings]] = {**settings_of(method), "evaluate": EvaluateSettings}
    try:
        document = read_toml(path)
    except ReidclipError as error:
        return [error.what]
    sharing = _methods_of_folder(path.parent.parent)
    commands = {"common", "evaluate", *(command for other in sharing for command in settings_of(other))}
    own = document.get(info.name, {})
    unknown = [table for table in document if table not in {HEADER, *commands, *(other.name for other in sharing)}]
    unknown += [f"{info.name}.{table}" for table in own if table not in commands]
    if unknown:
        return [f"recipe {path.name}: unknown table [{table}]; known: {', '.join(sorted(commands))}" for table in unknown]
    common = document.get("common", {})
    nowhere = [key for key in common if not any(key in model.model_fields for model in models.values())] if isinstance(common, dict) else []
    problems = [f"recipe {path.name}: key '{key}' of [common] is a setting of no stage" for key in nowhere]
    for command, model in models.items():
        try:
            resolve(model, *read_recipe(method, path.stem).sections(command, model), where=command)
        except ReidclipError as error:
            problems.append(f"recipe {path.name}: {error.what}")
    return list(dict.fromkeys(problems))


def _published_problems(info: PluginInfo) -> list[str]:
    """Rows of published.toml that could never be shown: no such method, recipe or data set."""
    this: Any = info.object
    folder = folder_of(this)
    try:
        rows = read_published(folder)
    except ReidclipError as error:
        return [error.what]
    sharing = {method.name for method in _methods_of_folder(folder)} | {info.name}
    layouts = registry.names("reidclip.layouts")
    problems = [f"{PUBLISHED_FILE} names method '{row.method}', which is none of this folder" for row in rows if row.method not in sharing]
    for row in (row for row in rows if row.method == info.name):
        if row.recipe not in recipe_names(this):
            problems.append(f"{PUBLISHED_FILE} names recipe '{row.recipe}', which does not exist")
        if row.layout not in layouts:
            problems.append(f"{PUBLISHED_FILE} names layout '{row.layout}', which does not exist")
    return problems


def _methods_of_folder(folder: Path) -> list[Any]:
    """Methods that share a folder share its recipes (a baseline beside its method)."""
    return [i.object for i in registry.all_infos("reidclip.methods") if i.object is not None and folder_of(i.object) == folder]
