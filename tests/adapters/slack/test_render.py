"""How an answer looks on Slack: blocks, mrkdwn, and what can ping nobody."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.slack.handle import Handle
from adapters.slack.mrkdwn import mrkdwn
from adapters.slack.render import (
    MAX_CHARS,
    PLACEHOLDER,
    blocks,
    buttons,
    escaped,
    harmless,
    length,
    notification,
    pressed,
)
from bot.messages import Action, Figures, ReplyView
from tests.adapters.slack.doubles import settings_with
from tests.slack_server.workspace import check_blocks

HANDLE = Handle("C1", "C1:1.0", "1.0", "U1", "T1")
CONTROLS = ("<!channel>", "<!here>", "<!everyone>", "<@U0BEN>", "<!subteam^S1|@x>", "<#C012|x>")


def shown(text: str, **given_settings: Any) -> str:
    """All that is sent of an answer."""
    view = ReplyView(text, is_complete=True, is_last=True)
    return str(blocks(view, HANDLE, settings_with(**given_settings))) + notification(view)


@pytest.mark.parametrize("text_format", ["markdown", "mrkdwn"])
@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("around", ["{}", "see {} now", "`{}`", "```\n{}\n```", "> {}", "| {} |"])
def test_no_control_sequence_survives(text_format: str, control: str, around: str) -> None:
    sent = shown(around.format(control), text_format=text_format)
    assert control.rstrip(">") not in sent


@pytest.mark.parametrize("text_format", ["markdown", "mrkdwn"])
def test_a_link_cannot_smuggle_one_in(text_format: str) -> None:
    sent = shown("[click](!channel) [me](<!here>) [b](@U0BEN)", text_format=text_format)
    assert "<!channel" not in sent
    assert "<!here" not in sent
    assert "](!channel" not in sent


def test_ordinary_markup_is_left_as_it_is() -> None:
    text = "<!DOCTYPE html> <b> a < b <@ me> <!-- x --> <# 1>"
    assert harmless(text) == text


@given(st.text(alphabet="<>!@#CUch[](|annelhere ", max_size=60))
def test_whatever_is_said_no_mention_comes_of_it(text: str) -> None:
    sent = harmless(mrkdwn(text)) + harmless(text)
    assert "<!channel" not in sent
    assert "<!here" not in sent


@pytest.mark.parametrize("text_format", ["markdown", "mrkdwn"])
@given(st.text(max_size=2000))
def test_an_answer_within_the_limit_is_taken_by_slack(text_format: str, text: str) -> None:
    while length(text) > MAX_CHARS:
        text = text[: len(text) // 2]
    view = ReplyView(text, actions=tuple(Action), figures=Figures("m", 1.0), is_complete=True)
    made = blocks(view, HANDLE, settings_with(text_format=text_format, footer="full"))
    check_blocks(made)
    assert 0 < len(notification(view)) <= 4000


def test_lists_that_grow_as_mrkdwn_still_fit() -> None:
    text = "\n".join("- a" for _ in range(MAX_CHARS // 4))
    check_blocks(blocks(ReplyView(text), HANDLE, settings_with(text_format="mrkdwn")))


def test_an_empty_answer_shows_something() -> None:
    assert PLACEHOLDER in shown(" ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**bold** and *it* and ~~gone~~", "*bold* and _it_ and ~gone~"),
        ("[a page](https://a.example/x?b=1&c=2)", "<https://a.example/x?b=1&c=2|a page>"),
        ("# Title", "*Title*"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("`a < b`", "`a &lt; b`"),
        ("> one\n> two", "> one\n> two"),
        ("- a\n  - b\n- c", "•   a\n    ◦   b\n\n•   c"),
        ("```python\n#!/bin/sh\nx = 1 < 2\n```", "```\n#!/bin/sh\nx = 1 &lt; 2\n```"),
        ("~~~\n```\n~~~", "```\n`\u2060``\n```"),
        ("    indented", "```\nindented\n```"),
        ("one\ntwo", "one\ntwo"),
    ],
)
def test_markdown_becomes_mrkdwn(text: str, expected: str) -> None:
    assert mrkdwn(text) == expected


def test_a_table_keeps_its_shape_in_a_code_block() -> None:
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    assert mrkdwn(f"before\n\n{table}\n\nafter") == f"before\n\n```\n{table}\n```\nafter"


def test_long_lines_of_code_are_not_broken() -> None:
    line = "x" * 1500
    assert mrkdwn(f"```\n{line}\n```") == f"```\n{line}\n```"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"footer": "none"}, None),
        ({"footer": "minimal"}, "small · under it"),
        ({"footer": "full"}, "small · 2.0 s · 9 tokens/s · under it"),
    ],
)
def test_the_footer_by_setting(settings: Mapping[str, Any], expected: str | None) -> None:
    view = ReplyView("x", figures=Figures("small", 2.0, 9.0), footer="under\nit")
    made = blocks(view, HANDLE, settings_with(**settings))
    contexts = [one["elements"][0]["text"] for one in made if one["type"] == "context"]
    assert contexts == ([] if expected is None else [expected])


def test_a_long_footer_is_shortened() -> None:
    made = blocks(ReplyView("x", footer="y" * 900), HANDLE, settings_with(footer="minimal"))
    assert len(made[1]["elements"][0]["text"]) == 500


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_a_button_that_tells_what_it_is_for(action: Action) -> None:
    (block,) = buttons((action,), "C1:1.0", "U1", "full")
    (element,) = block["elements"]
    assert element["text"]["text"]
    assert pressed(element["value"]) == (action, "C1:1.0")


def test_both_thumbs_are_slacks_feedback_buttons() -> None:
    made = buttons((Action.RETRY, Action.GOOD, Action.BAD), "C1:1.0", "U1", "full")
    assert [block["type"] for block in made] == ["actions", "context_actions"]
    thumbs = made[1]["elements"][0]
    assert pressed(thumbs["positive_button"]["value"]) == (Action.GOOD, "C1:1.0")
    assert pressed(thumbs["negative_button"]["value"]) == (Action.BAD, "C1:1.0")


@pytest.mark.parametrize("value", ["", "stop", "explode C1:1.0 U1", "stop C1:1.0 U1 x"])
def test_a_button_of_another_app_is_passed_over(value: str) -> None:
    assert pressed(value) is None


def test_plain_text_is_escaped() -> None:
    assert escaped("<a> & b") == "&lt;a&gt; &amp; b"
    assert length("<&>👍") == 4 + 5 + 4 + 2
