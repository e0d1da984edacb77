"""/model info says how a model runs."""

from collections.abc import Sequence
from pathlib import Path

from typing_extensions import override

from bot.engine.base import ModelState, ResidentModel
from bot.engine.run_mode import Cause, Reason, RunMode
from tests.commands.test_commands import answer
from tests.doubles.scripted import ScriptedEngine
from tests.running_flow import running_flow

SLOW = RunMode(
    is_batched=True,
    has_kernels=False,
    precision="bf16",
    reasons=(Reason(Cause.KERNELS_REFUSED, "off by 4"),),
)


class Loaded(ScriptedEngine):
    """An engine that runs one model without its kernels."""

    @override
    def resident(self) -> Sequence[ResidentModel]:
        return [ResidentModel("small", ModelState.READY, 1, 0, SLOW)]


async def test_a_loaded_model_is_described_as_it_runs_and_another_as_far_as_is_known(
    tmp_path: Path,
) -> None:
    async with running_flow(tmp_path, engine=Loaded()) as flow:
        small = await answer(flow, "model info", name="small")
        assert (
            "How it runs: answers many conversations at once without compiled kernels, in bf16, "
            "because its compiled kernels failed the check (off by 4)"
        ) in small
        assert "How it runs: not known" in await answer(flow, "model info", name="large")
        absent = await answer(flow, "model info", name="absent")
        assert "How it runs: known once it is installed" in absent
