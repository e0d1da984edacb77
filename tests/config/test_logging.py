"""Logging: what is logged, in which form, and what never is."""

import io
import json
import logging

import pytest

from config.logging import OURS, configure

SECRET = 'hf_"quoted"_token'


def logged(level: str = "INFO", *, is_json: bool = False) -> io.StringIO:
    stream = io.StringIO()
    configure(level, is_json=is_json, secrets=[SECRET, "abc"], stream=stream)
    return stream


def test_lines_are_for_people() -> None:
    stream = logged()
    logging.getLogger("bot.app").info("%d messages", 3)
    assert stream.getvalue().endswith("INFO    bot.app: 3 messages\n")


def test_lines_can_be_json() -> None:
    stream = logged(is_json=True)
    logging.getLogger("adapters.x").warning("said\n%s", "twice")
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"], line["message"]) == (
        "WARNING",
        "adapters.x",
        "said\ntwice",
    )
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize("is_json", [False, True])
def test_secrets_are_masked_in_messages_and_tracebacks(is_json: bool) -> None:
    stream = logged(is_json=is_json)
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        logging.getLogger("bot").exception("failed with %s", SECRET)
    assert "quoted" not in stream.getvalue()
    assert stream.getvalue().count("********") == 2
    assert "ValueError" in stream.getvalue()


def test_words_that_happen_to_be_a_short_secret_stay() -> None:
    stream = logged()
    logging.getLogger("bot").info("abc")
    assert "abc" in stream.getvalue()


def test_a_message_cannot_forge_a_second_line() -> None:
    stream = logged()
    logging.getLogger("bot").info("joined by %s", "eve\n2026-01-01 ERROR bot: gone\x1b[2J")
    assert stream.getvalue().count("\n") == 1
    assert "\\n2026" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_libraries_stay_at_info_when_ours_are_at_debug() -> None:
    stream = logged("DEBUG")
    for name in OURS:
        logging.getLogger(f"{name}.part").debug("ours")
    logging.getLogger("discord.gateway").debug("what somebody wrote")
    logging.getLogger("discord.gateway").info("connected")
    logging.getLogger("httpx2").info("GET https://hub/?token=1")
    logging.getLogger("sqlalchemy.engine").info("INSERT what somebody wrote")
    assert stream.getvalue().count("ours") == len(OURS)
    assert "somebody" not in stream.getvalue()
    assert "token" not in stream.getvalue()
    assert "connected" in stream.getvalue()


def test_the_level_holds_for_everybody() -> None:
    stream = logged("ERROR")
    logging.getLogger("bot").warning("one")
    logging.getLogger("discord").warning("two")
    logging.getLogger("discord").error("three")
    assert "three" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
