"""What the tests of the self-test share."""

from collections.abc import Callable, Iterator

import pytest

from bot.engine.batching import batch_check
from bot.engine.checkpoint.loading import Checkpoint
from bot.engine.forward.reference import Text, own_logits, wide_logits


@pytest.fixture(scope="module")
def remembered() -> Iterator[None]:
    """What batches are compared with is computed once for the same texts."""
    known: dict[object, object] = {}

    def once(compute: Callable[..., object]) -> Callable[..., object]:
        def computed(checkpoint: Checkpoint, text: Text | list[Text], *_rest: object) -> object:
            key = compute, id(checkpoint), repr(text)
            if key not in known:
                known[key] = compute(checkpoint, text)
            return known[key]

        return computed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_check, "own_logits", once(own_logits))
        patch.setattr(batch_check, "wide_logits", once(wide_logits))
        yield
