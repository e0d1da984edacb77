"""The reference of the configuration, written from the settings models themselves."""

import json
from collections.abc import Iterator, Sequence

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.leaves import Leaf, as_text, leaves
from config.owner_models import OwnerModel
from config.settings import RootSettings

HEAD = """\
# Configuration

Nothing needs to be configured. Every setting has a default, and each can be set in several places;
the first one that names it wins:

1. an option of the command line,
2. the environment,
3. `.env` in the working directory (keys that do not begin with `FIRESIDE_` are left alone),
4. for secrets, a file: `FIRESIDE_…_FILE` names one, or one with the variable's name lies in
   `/run/secrets` (`FIRESIDE_SECRETS_DIR` names another directory),
5. `fireside.toml`: the file that `FIRESIDE_CONFIG` names, else the one in the working directory,
   else the one in the user's configuration directory.

In `fireside.toml` a setting is written in small letters and without the prefix, and two
underscores begin a table: `FIRESIDE_HUB__OFFLINE` is `offline` in `[hub]`. Lists are words between
commas in the environment and lists in the file.

A name that Fireside does not know and a value that it cannot use are refused at start, with the
nearest known name or an example that works. `fireside config` shows every value and where it came
from, secrets masked. `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are honoured.

This page is written by `fireside config --reference`.
"""

MODELS_HEAD = """\
## Models of your own

Only models of the catalogue can be chosen in a chat. In `fireside.toml` you add to it, with one
table a model; either `repository` or `folder` is needed.

```toml
[models.notes]
folder = "/srv/models/notes"
title = "Our notes"
```

| key | example | meaning |
|---|---|---|
"""


def reference(root: type[RootSettings]) -> str:
    """The whole page, in Markdown."""
    parts = [HEAD]
    known = [leaf for leaf in leaves(root) if not leaf.is_only_in_file]
    sections = {leaf.path[:-1]: None for leaf in known}
    for section in sections:
        members = [leaf for leaf in known if leaf.path[:-1] == section]
        parts.append(_section(section, members))
    rows = (_model_row(name, field) for name, field in OwnerModel.model_fields.items())
    return "\n".join([*parts, MODELS_HEAD + "\n".join(rows)]) + "\n"


def _section(path: Sequence[str], members: Sequence[Leaf]) -> str:
    title = f"`[{'.'.join(path)}]`" if path else "General"
    return "\n".join([f"## {title}\n", *_table(members), ""])


def _table(members: Sequence[Leaf]) -> Iterator[str]:
    yield "| variable | default | example | meaning |"
    yield "|---|---|---|---|"
    for leaf in members:
        example = _code(as_text(leaf.example))
        secret = " (secret)" if leaf.is_secret else ""
        meaning = _cell(leaf.field.description or "")
        yield f"| `{leaf.variable}` | {_default(leaf.field)} | {example} | {meaning}{secret} |"


def _model_row(name: str, field: FieldInfo) -> str:
    example = json.dumps(field.examples[0]) if field.examples else ""
    return f"| `{name}` | {_code(example)} | {_cell(field.description or '')} |"


def _default(field: FieldInfo) -> str:
    return "" if field.default is PydanticUndefined else _code(as_text(field.default))


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
