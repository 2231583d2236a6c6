"""Generates docs/api.md from docstrings, docs/cli.md from click, and the list of public names for
type checkers, labelaudit/__init__.pyi: `make docs`.

tests/test_docs.py fails if a public name is in none of the groups below.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields, is_dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import click

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))
import labelaudit  # noqa: E402
from labelaudit.cli import main as cli  # noqa: E402

WIDTH = 96  # of a signature on one line

# Each public name once. A dotted name is documented here, but is not exported by `labelaudit`.
GROUPS = {
    "Load": [
        "load_dataset",
        "preview_dataset",
        "load_arrays",
        "load_huggingface",
        "import_issues",
        "list_datasets",
        "delete_dataset",
        "drop_all",
    ],
    "Look at samples": ["Dataset", "View", "F", "Sample", "find_duplicates"],
    "Rehearse": ["inject_noise", "restore_noise", "evaluate"],
    "Audit in one call": ["audit", "resume_audit", "AuditResult"],
    "Train and predict": [
        "train",
        "TrainConfig",
        "resume_training",
        "predict",
        "first_look",
        "load_model",
    ],
    "Your own predictions, model or loop": [
        "import_predictions",
        "import_features",
        "predict_with",
        "Recorder",
        "TorchImageDataset",
    ],
    "Several annotators": ["import_annotations", "consensus"],
    "Rank": ["compute_scores", "suspects", "estimate_wrong"],
    "Every week": [
        "plan_sync",
        "apply_sync",
        "added_since",
        "plan_write_back",
        "write_back",
        "check_labels",
        "accept",
        "read_accepted",
        "verify",
        "trend",
    ],
    "See it in the app": ["launch_app", "app_session.Session"],
    "Review and apply": [
        "make_queue",
        "QueueFilter",
        "Review",
        "pending_decisions",
        "apply_verdicts",
        "assign",
        "plan_classes",
        "change_classes",
        "list_changes",
        "return_to",
    ],
    "Export": ["export_dataset", "write_labels", "write_suspects", "write_report"],
    "Patches": ["write_patch", "read_patch", "merge_patches", "plan_patch", "apply_patch"],
    "Extend": ["plugins", "core.plugins.Plugin"],
    "Errors and progress": [
        "LabelAuditError",
        "core.errors.NotFoundError",
        "core.errors.BusyError",
        "core.errors.DamagedError",
        "core.errors.BadInputError",
        "core.errors.StorageError",
        "core.errors.StoppedError",
        "core.errors.PluginError",
        "Task",
        "core.progress.Progress",
    ],
}
# An example of each group. tests/test_docs.py runs them one after another, on 400 digits.
EXAMPLES = {
    "Load": """
dataset = labelaudit.load_dataset("digits")  # or ("pets", "/data/pets"), ("beans", "hf:beans")
print(dataset.classes, labelaudit.list_datasets())
""",
    "Look at samples": """
view = dataset.view().match(split="train", label=["3", "8"])
for sample in view.limit(3):
    print(sample.id, sample.ground_truth, sample.image.size)
pairs = labelaudit.find_duplicates(dataset)
""",
    "Rehearse": """
print(labelaudit.inject_noise(dataset, rate=0.2, seed=51))
mistakes = dataset.view().match_tag("mistake")
""",
    "Audit in one call": """
result = labelaudit.audit(dataset, train=False)
print(result)
result.to_csv("suspects.csv")
""",
    "Train and predict": """
run = labelaudit.train(dataset, "net", labelaudit.TrainConfig(epochs=1))
labelaudit.predict(dataset, "net")
""",
    "Your own predictions, model or loop": """
logits = my_model(np.stack([np.array(sample.image) for sample in dataset.view()]))  # float (n, C)
labelaudit.import_predictions(dataset, logits, "mine", ids=dataset.view().ids)
""",
    "Several annotators": """
names = dataset.view().values("ground_truth")
votes = [(sample, who, name) for who in "abc" for sample, name in enumerate(names, start=1)]
votes = pd.DataFrame(votes, columns=["id", "annotator", "label"])
print(labelaudit.import_annotations(dataset, votes))  # or "votes.csv", or ["human_a", "human_b"]
found = labelaudit.consensus(dataset)
print(found.annotators, found.ask(5))
found.apply(at_least=0.95)
""",
    "Rank": """
labelaudit.compute_scores(dataset, "mine")
suspects = labelaudit.suspects(dataset, "mine")
print(labelaudit.estimate_wrong(dataset, run="mine"))
""",
    "Every week": """
print(labelaudit.check_labels(dataset, max_wrong=0.05, run="mine"))
labelaudit.accept(dataset, suspects.ids[:3], "accepted.txt", why="seen by Ann")
""",
    "See it in the app": """
with labelaudit.launch_app(dataset) as session:
    session.view = suspects.limit(100)
    print(session.url, session.selected)
""",
    "Review and apply": """
first = suspects.head(1)[0]
labelaudit.Review(dataset, "ann").decide(first.id, "relabel", first.prediction.label)
print(labelaudit.apply_verdicts(dataset))
""",
    "Export": """
labelaudit.export_dataset(dataset, "corrected", "folders")
labelaudit.write_report(dataset, "report.html")
""",
    "Patches": """
labelaudit.write_patch(dataset, "ann.jsonl")
patch = labelaudit.read_patch("ann.jsonl")
print(labelaudit.plan_patch(dataset, patch))
""",
    "Extend": """
for plugin in labelaudit.plugins():
    print(plugin.kind, plugin.name, plugin.problem)
""",
    "Errors and progress": """
try:
    labelaudit.Dataset("no such name")
except labelaudit.LabelAuditError as error:
    print(error)
""",
}
SHARED = {"Dataset": "View"}  # members of the first class that the second one has too
CREATED = ("F", "Recorder", "Review", "TorchImageDataset")  # classes that users call
RETURNED = "Returned objects"  # classes that users do not create: found through annotations
OTHER = "Other"

# Public by name, but only used inside the library.
INTERNAL = {
    "Batch",
    "Dataset.find_run",
    "Dataset.refresh",
    "Dataset.stamp",
    "Dataset.steady",
    "Expression.mask",
    "Fields",
    "Frame",
    "Tags",
    "Plugin.guard",
    "Plugin.value",
    "Run.checkpoint",
    "Run.forget_dynamics_after",
    "Run.in_training",
    "Run.marks",
    "Run.state",
    "Run.training",
    "Store",
    "View.conflicts_first",
    "View.fields",
    "View.frame",
    "View.name",
    "View.positions",
    "View.steady",
    "View.steps",
    "View.store",
    "View.suspicious",
    "View.uri",
}

API_HEAD = """# The library

Generated from the docstrings by `make docs`. The [README](../README.md#in-python) shows a complete
audit, and [examples/walkthrough.ipynb](../examples/walkthrough.ipynb) shows it with pictures.
[methods.md](methods.md) explains each score.

General rules:

- Errors are subclasses of `LabelAuditError`, with one sentence that names the value and says how to
  fix it: `NotFoundError` for a missing dataset, run, field or sample, `BadInputError` for an
  invalid value (see [Errors and progress](#errors-and-progress)). Nothing is left half-written.
- For every score, higher is more suspicious.
- In shapes, n is the number of samples, C the number of classes, D the width of an embedding, and H
  and W are the height and width of an image in pixels. Ids are int64. Durations are in seconds,
  times are ISO 8601 in UTC.
- `progress` is called with a [`Progress`](#progress), at most ten times a second. `stop` is called
  often, and returns True to end the work: unfinished work raises `StoppedError`.
- Other threads and processes can read a dataset at any time; writers wait for each other.
"""
CLI_HEAD = """# The command line

Generated from the help texts by `make docs`. `pip install -e .` installs the command `labelaudit`.
Without installing, use `.venv/bin/python -m labelaudit`. Each command has `--help`.
"""
STUB_HEAD = "Public names for type checkers. Generated from labelaudit/__init__.py by `make docs`."

# --- the library ---


class Entry:
    """A documented function, method, property or class."""

    def __init__(self, name: str, value, owner: str = "") -> None:
        self.name, self.value, self.owner = name, value, owner
        self.full = f"{owner}.{name}" if owner else name
        kinds = (staticmethod, classmethod)
        self.function = value.__func__ if isinstance(value, kinds) else value
        if not inspect.isfunction(self.function):  # a property
            self.function = getattr(value, "fget", None) or getattr(value, "func", None)
        self.is_class = inspect.isclass(value)
        self.is_value = not callable(value) and not isinstance(value, kinds)

    @cached_property
    def doc(self) -> str:
        text = self.value.__doc__ or ""
        generated = self.is_class and is_dataclass(self.value) and text.startswith(f"{self.name}(")
        return "" if generated else inspect.cleandoc(text)

    @cached_property
    def members(self) -> list[Entry]:
        """Public methods and properties in source order, those of base classes first."""
        bases = [base for base in reversed(self.value.__mro__) if _is_labelaudit(base)]
        found = {name: value for base in bases for name, value in vars(base).items()}
        entries = [Entry(name, value, self.name) for name, value in found.items() if name[0] != "_"]
        return [e for e in entries if e.function and e.full not in INTERNAL]

    @cached_property
    def annotations(self) -> dict[str, str]:
        """Annotations of the parameters and of "return", or of a dataclass's fields."""
        if self.is_class:
            return {field.name: field.type for field in _public_fields(self.value)}
        return dict(self.function.__annotations__)

    @cached_property
    def returned_classes(self) -> list[type]:
        """LabelAudit's classes that it returns, or has in a field."""
        texts = self.annotations.values() if self.is_class else [self.annotations.get("return", "")]
        words = re.findall(r"\w+", " ".join(texts))
        module = sys.modules[(self.value if self.is_class else self.function).__module__]
        named = [getattr(module, word, None) for word in words]
        return [each for each in named if inspect.isclass(each) and _is_labelaudit(each)]

    def signature(self) -> str:
        """The call, without quotes around annotations and without addresses in defaults."""
        signature = inspect.signature(self.function)
        parameters, star = [], False
        for parameter in signature.parameters.values():
            if parameter.name in ("self", "cls"):
                continue
            if parameter.kind is parameter.KEYWORD_ONLY and not star:
                parameters.append("*")
            star = star or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
            parameters.append(_parameter(parameter))
        result = signature.return_annotation
        arrow = "" if result in (inspect.Signature.empty, "None") else f" -> {result}"
        name = f"{self.owner}.{self.name}" if isinstance(self.value, classmethod) else self.name
        line = f"{name}({', '.join(parameters)}){arrow}"
        if len(line) <= WIDTH:
            return line
        return f"{name}(\n" + "".join(f"    {p},\n" for p in parameters) + f"){arrow}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    typed = parameter.annotation is not parameter.empty
    if typed:
        text += f": {parameter.annotation}"
    if parameter.default is not parameter.empty:
        default = parameter.default
        shown = default.__name__ if inspect.isfunction(default) else repr(default)
        text += f" = {shown}" if typed else f"={shown}"
    return text


def _is_labelaudit(value: type) -> bool:
    return value.__module__.partition(".")[0] == "labelaudit"


def _find(name: str):
    module, _, last = name.rpartition(".")
    return getattr(import_module(f"labelaudit.{module}") if module else labelaudit, last)


def entries() -> dict[str, list[Entry]]:
    """Documented names by group: public names in the order of GROUPS, then returned classes."""
    groups = {
        group: [Entry(name.rpartition(".")[2], _find(name)) for name in names]
        for group, names in GROUPS.items()
    }
    grouped = {name for names in GROUPS.values() for name in names}
    known = {entry.value for group in groups.values() for entry in group}
    missing = [name for name in labelaudit.__all__ if name not in grouped]
    others = [Entry(name, _find(name)) for name in missing]
    returned = list(_returned([e for group in groups.values() for e in group] + others, known))
    groups[RETURNED] = sorted(returned, key=lambda entry: entry.name)
    return groups | ({OTHER: others} if others else {})


def _returned(found: list[Entry], known: set) -> Iterator[Entry]:
    """Classes that these entries return, directly or indirectly, and that are not in `known`."""
    waiting = list(found)
    while waiting:
        entry = waiting.pop()
        for value in entry.returned_classes:
            if value not in known and value.__name__ not in INTERNAL:
                known.add(value)
                waiting.append(Entry(value.__name__, value))
                yield waiting[-1]
        if entry.is_class:
            waiting += entry.members


def all_entries() -> list[Entry]:
    """All documented entries, and the members of classes."""
    tops = [entry for group in entries().values() for entry in group]
    return [e for top in tops for e in (top, *(top.members if top.is_class else ()))]


def _public_fields(value: type) -> list[Field]:
    return [
        field
        for field in (fields(value) if is_dataclass(value) else ())
        if field.name[0] != "_" and f"{value.__name__}.{field.name}" not in INTERNAL
    ]


def _fields_text(value: type) -> str:
    """A dataclass's public fields as in the source, with their comments."""
    lines = dedent(inspect.getsource(value)).splitlines()
    (body,) = ast.parse("\n".join(lines)).body
    names = {field.name for field in _public_fields(value)}
    public = [n for n in body.body if isinstance(n, ast.AnnAssign) and n.target.id in names]
    if not public:
        return ""
    first = public[0].lineno - 1
    while lines[first - 1].lstrip().startswith("#"):
        first -= 1
    shown = dedent("\n".join(lines[first : public[-1].end_lineno]))
    return f"```python\n{shown.replace('  # fmt: skip', '')}\n```"


def _prose(entry: Entry) -> str:
    """The docstring, with the names of parameters in bold where it explains them."""
    text = re.sub(r"(?<![`\w])([A-Z][a-z]\w+Error)\b", r"`\1`", entry.doc)
    text = re.sub(r"(?<=\.)\n(?=Raises |Returns |None )", "\n\n", text)
    names = "|".join(inspect.signature(entry.function).parameters) if entry.function else ""
    if not names:
        return text
    pattern = rf"(?:^|(?<=[.;)] )|(?<=\n))((?:{names})(?:, (?:{names}))*): "
    return re.sub(pattern, lambda m: f"**{m[1]}**: ", text)


def _class_text(entry: Entry) -> list[str]:
    parts = [_prose(entry)]
    if entry.name in CREATED:
        call = Entry(entry.name, entry.value.__init__)
        parts += [f"```python\n{call.signature()}\n```", _prose(call)]
    if is_dataclass(entry.value):
        parts.append(_fields_text(entry.value))
    like = SHARED.get(entry.name)
    others = {m.name: m.value for m in Entry(like, _find(like)).members} if like else {}
    shared = [member for member in entry.members if others.get(member.name) is member.value]
    for member in entry.members:
        if member not in shared:
            parts += [f"```python\n{_member_text(member)}\n```", _prose(member)]
    if shared:
        listed = "\n".join(map(_member_text, shared))
        parts.append(f"As described for [{like}](#{like.lower()}):\n\n```python\n{listed}\n```")
    return [part for part in parts if part]


def _member_text(member: Entry) -> str:
    if member.is_value:
        return f".{member.name}: {member.annotations['return']}"
    return f".{member.signature()}"


def api_text() -> str:
    parts = [API_HEAD]
    groups = entries()
    for group, members in groups.items():
        links = ", ".join(f"[`{e.name}`](#{e.name.lower()})" for e in members)
        parts.append(f"- **{group}**: {links}")
    text = "\n".join(parts)
    parts = [text]
    for group, members in groups.items():
        parts.append(f"## {group}")
        if group in EXAMPLES:
            parts.append(f"```py\n{EXAMPLES[group].strip()}\n```")
        for entry in members:
            parts.append(f"### {entry.name}")
            if entry.is_class:
                parts += _class_text(entry)
            else:
                parts += [f"```python\n{entry.signature()}\n```", _prose(entry)]
    return "\n\n".join(parts) + "\n"


# --- the command line ---


def cli_text() -> str:
    parts = [CLI_HEAD.rstrip(), cli.epilog]
    commands = cli.all_commands()
    for section, summaries in cli.sections().items():
        parts.append(f"## {section}")
        for name in summaries:
            parts += _command(name, commands[name])
    return "\n\n".join(parts) + "\n"


def _command(name: str, command: click.Command) -> Iterable[str]:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = [a.human_readable_name if a.required else f"[{a.human_readable_name}]"
             for a in arguments]  # fmt: skip
    yield f"### {name}"
    yield inspect.cleandoc(command.help).replace("\b\n", "")
    example = command.epilog.partition("Example:\n")[2].strip()
    usage = " ".join(["labelaudit", name, *usage, "[OPTIONS]"])
    yield f"```sh\n{usage}\n\n# for example\n{example}\n```"
    rows = ["| option | |", "| --- | --- |"]
    for option in command.params:
        if isinstance(option, click.Option):
            text = _escaped(option.help or "").replace("  [", " [") + _default(option)
            rows.append(f"| {_option(option)} | {text} |")
    yield "\n".join(rows)


def _option(option: click.Option) -> str:
    names = "`" + ", ".join(option.opts) + "`"
    if option.secondary_opts:
        return f"{names}, `{', '.join(option.secondary_opts)}`"
    if isinstance(option.type, click.Choice):
        return f"{names} " + _escaped(" | ".join(f"`{choice}`" for choice in option.type.choices))
    kind = option.metavar or option.type.name.removesuffix(" range")
    return names if option.is_flag else f"{names} *{' '.join([kind] * option.nargs)}*"


def _default(option: click.Option) -> str:
    if option.secondary_opts:
        return f" [default: {(option.opts if option.default else option.secondary_opts)[0]}]"
    shown = isinstance(option.default, str | int | float) and not option.is_flag
    return f" [default: {option.default}]" if shown else ""


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


# --- the types ---


def stub_text() -> str:
    """The public names for type checkers, which cannot follow names that are imported on use."""
    lines, others = [f'"""{STUB_HEAD}"""', ""], ["", "__version__: str"]
    parts = {name: where.partition(":") for name, where in labelaudit._MODULES.items()}
    found = [(module, attribute or name, name) for name, (module, _, attribute) in parts.items()]
    for module, attribute, name in sorted(found):
        if attribute == name:
            lines.append(f"from .{module} import {name} as {name}")
        else:  # `as` another name would not be public
            lines.append(f"from .{module} import {attribute} as _{name}")
            others.append(f"{name} = _{name}")
    return "\n".join([*lines, *others, ""])


PAGES = {"api.md": api_text, "cli.md": cli_text, "../labelaudit/__init__.pyi": stub_text}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (DOCS / page).write_text(text())
        print(f"docs/{page}")
