"""What may be imported before the worker starts: nothing heavy."""

import subprocess
import sys

import pytest

LIGHT = (
    "bot.engine.base",
    "bot.engine.text.families",
    "bot.engine.local.scheduler",
    "bot.engine.local.residency",
    "bot.engine.text.prompt",
    "bot.engine.worker",
    "bot.engine.local.engine",
    "bot.engine.remote.engine",
    "bot.engine.routing_engine",
)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_imports_neither_torch_nor_transformers(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'transformers', 'tokenizers', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
