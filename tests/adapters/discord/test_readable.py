"""Discord's markup becomes words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord.readable import Names, own_mentions, readable, without_own_mention

ANN, ROLE, CHANNEL, EMOJI = (10**17 + number for number in range(4))
NAMES = Names({ANN: "Ann"}, {ROLE: "cooks"}, {CHANNEL: "kitchen"}.get)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"ask <@{ANN}> or <@!{ANN}>", "ask @Ann or @Ann"),
        (f"hello <@&{ROLE}>", "hello @cooks"),
        (f"look in <#{CHANNEL}>", "look in #kitchen"),
        (f"look in <#{EMOJI}>", "look in #a channel"),
        (f"<@{EMOJI}>", "@someone"),
        (f"nice <:soup:{EMOJI}> <a:steam:{EMOJI}>", "nice :soup: :steam:"),
        (f"use </model use:{EMOJI}>", "use /model use"),
        ("at <t:1767225600>", "at 2026-01-01 00:00 UTC"),
        ("at <t:1767225600:d>", "at 2026-01-01"),
        ("<t:99999999999>", "5138-11-16 09:46 UTC"),
        ("<t:999999999999>", "<t:999999999999>"),
        ("a < b and <3", "a < b and <3"),
    ],
)
def test_markup_becomes_a_readable_name(text: str, expected: str) -> None:
    assert readable(text, NAMES) == expected


@pytest.mark.parametrize("fence", ["`{}`", "``{}``", "```\n{}\n```", "```py\n{}"])
def test_markup_inside_code_stays_as_it_was_typed(fence: str) -> None:
    text = fence.format(f"<@{ANN}>")

    assert readable(text, NAMES) == text


@given(st.text(st.sampled_from(f"<@!&#:at/>0123456789`\n {ANN}")))
def test_what_holds_no_markup_stays_as_it_was_typed(text: str) -> None:
    plain = text.replace("<", "")

    assert readable(plain, NAMES) == plain
    assert isinstance(readable(text, NAMES), str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<@7> what is fire?", "what is fire?"),
        ("<@!7>, what is fire?", "what is fire?"),
        ("what is fire? <@7>", "what is fire?"),
        ("<@&8> <@7>", ""),
        ("<@7>", ""),
        ("tell <@7> a joke", "tell <@7> a joke"),
        (": as it was", ": as it was"),
    ],
)
def test_the_bots_own_mention_is_removed_where_it_only_calls(text: str, expected: str) -> None:
    assert without_own_mention(text, own_mentions(7, 8)) == expected
