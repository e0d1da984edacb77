"""Prefix reuse: what is kept, what is cropped, and under which budget."""

from collections.abc import Sequence
from typing import cast

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from bot.engine.kv_cache import PrefixCache

KEY = ("model", "conversation")


def cache_of(ids: Sequence[int]) -> DynamicCache:
    """A cache of one layer in which each id stands for itself; 8 bytes a token."""
    cache = DynamicCache()
    values = torch.tensor(ids, dtype=torch.float32).reshape(1, 1, -1, 1)
    cache.update(values, values, 0)  # pyright: ignore[reportUnknownMemberType]
    return cache


def content(cache: DynamicCache) -> list[int]:
    """The ids that a cache stands for."""
    layer = cast("DynamicLayer", cache.layers[0])
    assert layer.keys is not None
    return [int(value) for value in layer.keys.flatten()]


def test_the_longest_common_prefix_is_given_and_the_rest_cropped() -> None:
    prefixes = PrefixCache(1000)
    prefixes.keep(KEY, [1, 2, 3, 4], cache_of([1, 2, 3, 4]))
    taken = prefixes.take(KEY, [1, 2, 9, 9])
    assert taken is not None
    assert (content(taken[0]), taken[1]) == ([1, 2], 2)


def test_at_least_one_token_is_left_to_feed() -> None:
    prefixes = PrefixCache(1000)
    prefixes.keep(KEY, [1, 2, 3], cache_of([1, 2, 3]))
    taken = prefixes.take(KEY, [1, 2, 3])
    assert taken is not None
    assert taken[1] == 2


def test_a_cache_is_taken_once_and_only_by_its_own_conversation() -> None:
    prefixes = PrefixCache(1000)
    prefixes.keep(KEY, [1, 2], cache_of([1, 2]))
    assert prefixes.take(("other", KEY[1]), [1, 2]) is None
    assert prefixes.take((KEY[0], "other"), [1, 2]) is None
    assert prefixes.take(KEY, [1, 2]) is not None
    assert prefixes.take(KEY, [1, 2]) is None


def test_nothing_in_common_is_nothing() -> None:
    prefixes = PrefixCache(1000)
    prefixes.keep(KEY, [1, 2], cache_of([1, 2]))
    assert prefixes.take(KEY, [2, 1]) is None


def test_the_oldest_make_room_and_what_is_too_large_is_not_kept() -> None:
    prefixes = PrefixCache(24)
    for name in "abc":
        prefixes.keep(("model", name), [1], cache_of([1]))
    prefixes.keep(("model", "d"), [1], cache_of([1]))
    assert prefixes.used_bytes == 24
    assert prefixes.take(("model", "a"), [1, 2]) is None
    assert prefixes.take(("model", "b"), [1, 2]) is not None
    prefixes.keep(("model", "e"), [1] * 4, cache_of([1] * 4))
    assert prefixes.used_bytes <= 24
    assert prefixes.take(("model", "e"), [1, 1]) is None


def test_conversations_without_a_key_and_unloaded_models_keep_nothing() -> None:
    prefixes = PrefixCache(1000)
    prefixes.keep(("model", ""), [1], cache_of([1]))
    prefixes.keep(KEY, [1], cache_of([1]))
    prefixes.keep(("other", "c"), [1], cache_of([1]))
    prefixes.drop("model")
    assert prefixes.used_bytes == 8
    prefixes.clear()
    assert prefixes.used_bytes == 0
