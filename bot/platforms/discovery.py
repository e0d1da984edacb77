"""Which adapters are installed, by name.

They are the modules of the package `adapters`, and entry points of the group `fireside.adapters`.
Such a module has `create`, and as far as its platform has use for them `command_line` (commands of
its own), `examine` (for `fireside doctor`) and `set_up` (for `fireside init`). Its sub-module
`settings` has `Settings`. Importing the module itself imports next to nothing, so that
`fireside --help` can list its commands.
"""

import pkgutil
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec

ADAPTERS = "adapters"
ENTRY_POINTS = "fireside.adapters"


def adapter_modules() -> Iterator[tuple[str, str]]:
    """Every adapter's platform and the name of its module, ours first."""
    package = find_spec(ADAPTERS)
    ours: list[str] = []
    if package is not None and package.submodule_search_locations:
        ours = [module.name for module in pkgutil.iter_modules(package.submodule_search_locations)]
        yield from ((name, f"{ADAPTERS}.{name}") for name in sorted(ours))
    for point in entry_points(group=ENTRY_POINTS):
        if point.name not in ours:
            yield point.name, point.module
