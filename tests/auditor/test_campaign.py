"""A short cut of `make faults`: real processes are killed while people talk to them."""

from pathlib import Path

import pytest

from tests.auditor.audit import Verdict
from tests.auditor.campaign import Campaign, Storm

STORM_S = 3.0
ALLOWED = {Verdict.WHOLE, Verdict.RECOVERED, Verdict.TOLD}
"""One that was alone in the forward pass at two deaths is given up, and its author told so."""


@pytest.mark.parametrize("platform", ["discord", "slack"])
async def test_kills_and_faults_lose_double_and_misplace_nothing(
    tmp_path: Path, platform: str
) -> None:
    faults_per_s = 0.5 if platform == "slack" else 0.0
    campaign = Campaign(
        platform, (1.0, 2.5), faults_per_s=faults_per_s, is_patient=True, longest_s=1.5
    )
    with (tmp_path / "log").open("w") as log:
        outcome = await Storm(campaign, seed=1, log=log).run(STORM_S)

    assert outcome.kills > 0
    assert outcome.sent > 0
    assert {*outcome.report.counts} <= ALLOWED, outcome.report.faults
