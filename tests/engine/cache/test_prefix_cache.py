"""Prefix reuse: what is kept, for whom, and under which budget."""

from collections.abc import Sequence

import torch

from bot.engine.cache.prefix_cache import Prefix, PrefixCache

KEY = ("model", "conversation")


def prefix_of(ids: Sequence[int]) -> Prefix:
    """A prefix of one layer in which each id stands for itself; 8 bytes a token."""
    values = torch.tensor(ids, dtype=torch.float32).reshape(-1, 1, 1)
    return Prefix(tuple(ids), [(values, values)])


def test_a_prefix_is_found_by_its_own_conversation_as_often_as_it_asks() -> None:
    prefixes = PrefixCache(1000)
    kept = prefix_of([1, 2])
    prefixes.keep(KEY, kept)
    assert prefixes.find(("other", KEY[1])) is None
    assert prefixes.find((KEY[0], "other")) is None
    assert prefixes.find(KEY) is kept
    assert prefixes.find(KEY) is kept


def test_the_least_recently_used_make_room_and_what_is_too_large_is_not_kept() -> None:
    prefixes = PrefixCache(24)
    for name in "abc":
        prefixes.keep(("model", name), prefix_of([1]))
    assert prefixes.find(("model", "a")) is not None
    prefixes.keep(("model", "d"), prefix_of([1]))
    assert prefixes.used_bytes == 24
    assert prefixes.find(("model", "b")) is None
    assert prefixes.find(("model", "a")) is not None
    prefixes.keep(("model", "e"), prefix_of([1] * 4))
    assert prefixes.used_bytes <= 24
    assert prefixes.find(("model", "e")) is None


def test_conversations_without_a_key_and_unloaded_models_keep_nothing() -> None:
    prefixes = PrefixCache(1000)
    prefixes.keep(("model", ""), prefix_of([1]))
    prefixes.keep(KEY, prefix_of([1]))
    prefixes.keep(("other", "c"), prefix_of([1]))
    prefixes.drop("model")
    assert prefixes.used_bytes == 8
    prefixes.clear()
    assert prefixes.used_bytes == 0


def test_a_conversation_is_forgotten_with_those_below_it_and_no_other() -> None:
    prefixes = PrefixCache(1000)
    kept = [("one", "a/b"), ("two", "a/b/"), ("one", "a/b/c/ann"), ("one", "a/bc"), ("one", "a")]
    for key in kept:
        prefixes.keep(key, prefix_of([1]))
    prefixes.forget("a/b")
    assert [key for key in kept if prefixes.find(key)] == [("one", "a/bc"), ("one", "a")]
