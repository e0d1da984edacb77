"""How much worse a model predicts a text than another, as far as so many tokens can tell."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import math

import torch

from bot.engine.checkpoint.loading import Checkpoint

STANDARD_ERRORS = 3.0
"""A mean is lower than it should be by more than these once in 740 samples."""


def least_ratio(found: Checkpoint, whole: Checkpoint, text: str, tokens: int) -> float:
    """The ratio of two models' perplexities on the beginning of a text: the least that its tokens
    leave possible.

    What rounding does to single tokens is larger than what it does to their mean, and is another on
    each processor: with 8 bits the mean of 600 tokens has a standard error of a hundredth, which is
    as much as one of the tests allows. Both models predict the same tokens, so that the error is
    that of the mean of differences.
    """
    lost = _log_probabilities(whole, text, tokens) - _log_probabilities(found, text, tokens)
    error = float(lost.std()) / math.sqrt(len(lost))
    return math.exp(float(lost.mean()) - STANDARD_ERRORS * error)


def _log_probabilities(checkpoint: Checkpoint, text: str, tokens: int) -> torch.Tensor:
    """What each token is given after those before it [tokens - 1]."""
    ids = torch.tensor(checkpoint.tokenizer.encode(text)[:tokens])
    with torch.inference_mode():
        logits = checkpoint.model(input_ids=ids[None]).logits[0].double()
    return logits.log_softmax(-1)[:-1].gather(1, ids[1:, None])[:, 0]
