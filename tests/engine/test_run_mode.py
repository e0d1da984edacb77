"""How a model runs, in words."""

import pytest

from bot.engine.run_mode import Cause, Reason, RunMode, because


def test_a_model_that_runs_as_it_should_says_so_without_a_reason() -> None:
    mode = RunMode(is_batched=True, has_kernels=True, precision="bf16")
    assert mode.text == "answers many conversations at once with compiled kernels, in bf16"
    assert (mode.short, mode.fallbacks) == ("batched, bf16", ())


def test_fewer_bits_are_named() -> None:
    eight = RunMode(
        is_batched=True, has_kernels=True, precision="bf16", bits=8, has_byte_states=True
    )
    assert eight.text.endswith("in bf16, 8-bit weights and states")
    four = RunMode(is_batched=True, has_kernels=True, precision="bf16", bits=4)
    assert four.text.endswith("in bf16, 4-bit weights")


def test_an_architecture_that_is_not_batched_is_a_fallback_with_its_name() -> None:
    reasons = (Reason(Cause.UNKNOWN_ARCHITECTURE, "gpt2"),)
    mode = RunMode(is_batched=False, has_kernels=False, precision="fp32", reasons=reasons)
    assert mode.text == (
        "answers one question at a time, in fp32, "
        "because Fireside does not know how to batch gpt2 models"
    )
    assert mode.short == "one at a time !, fp32"
    assert mode.fallbacks == reasons
    assert not mode.is_checked_worse


def test_an_architecture_without_kernels_says_so_and_is_no_fallback() -> None:
    mode = RunMode(
        is_batched=True, has_kernels=False, reasons=(Reason(Cause.NO_KERNELS, "gemma2"),)
    )
    assert "because there are no compiled kernels for gemma2 models" in mode.text
    assert (mode.short, mode.fallbacks) == ("batched, no kernels", ())


def test_a_failed_check_says_what_it_found() -> None:
    reasons = (Reason(Cause.KERNELS_REFUSED, "off by 4"), Reason(Cause.BATCH_REFUSED, "ValueError"))
    mode = RunMode(is_batched=False, has_kernels=False, reasons=reasons)
    assert mode.text.endswith(
        "because its compiled kernels failed the check (off by 4) "
        "and its batch failed the check (ValueError)"
    )
    assert mode.is_checked_worse


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_its_words(cause: Cause) -> None:
    assert "{" not in because((Reason(cause, "x"),))


def test_a_files_blocks_are_named_and_what_is_unpacked_of_it() -> None:
    both = RunMode(
        is_batched=True, has_kernels=True, precision="bf16", blocks="Q4_K, Q6_K", unpacked="Q5_K"
    )
    assert both.text.endswith(
        "in bf16, weights in Q4_K, Q6_K blocks with 8-bit states, Q5_K weights unpacked"
    )
    exact = RunMode(is_batched=True, has_kernels=True, precision="fp32", unpacked="Q4_1, Q8_0")
    assert exact.text.endswith("in fp32, Q4_1, Q8_0 weights unpacked")
