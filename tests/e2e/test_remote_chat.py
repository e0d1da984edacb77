"""`fireside chat` with a model that a server runs: a process of its own, and no torch in it."""

import asyncio
import os
import sys
from pathlib import Path

from tests.doubles.model_server import KEY, MODEL, ModelServer

ROOT = Path(__file__).parents[2]

NO_TORCH = "raise ImportError('torch is not installed')\n"

TABLE = """
model = "far"

[models.far]
engine = "openai"
endpoints = ["{url}"]
remote_model = "{model}"
api_key_variable = "FAR_KEY"
"""


async def test_a_remote_model_answers_in_the_terminal_where_torch_is_missing(
    tmp_path: Path,
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "torch.py").write_text(NO_TORCH)
    foreign = {name: value for name, value in os.environ.items() if "FIRESIDE" not in name}
    environment = {
        **foreign,
        "PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}",
        "FIRESIDE_DATA_DIR": str(tmp_path / "data"),
        "FAR_KEY": KEY,
    }
    async with ModelServer().serving() as server:
        server.needs_key = True
        (tmp_path / "fireside.toml").write_text(TABLE.format(url=server.url, model=MODEL))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "chat"),
            cwd=tmp_path,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(b"hello\nquit\n"), 100)
    assert process.returncode == 0, err.decode()
    assert out.decode().startswith("Chatbot: You said: hello")
    assert server.last["model"] == MODEL
    assert KEY not in out.decode() + err.decode()
