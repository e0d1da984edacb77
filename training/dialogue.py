"""Dialogues composed from the hand-written examples, typed as people type."""

from collections.abc import Sequence
from hashlib import sha256
from random import Random

from training.conversation import Conversation
from training.examples import (
    Chosen,
    Examples,
    Exchange,
    Group,
    choose_slots,
    expand,
    fill,
    is_probe,
)

FOLLOW_UP_SHARE = 0.6
GENERAL_FOLLOW_UP_SHARE = 0.3
OPEN_SHARE = 0.45
CLOSE_SHARE = 0.35
ASK_AGAIN_SHARE = 0.08
ATTEMPTS = 200
LEADS = ("so ", "so, ", "hey, ", "ok, ", "okay ", "well, ", "and ", "um, ", "by the way, ", "but ")


def compose(examples: Examples, random: Random) -> Conversation:
    """One dialogue: perhaps an opening, some subjects with follow-ups, perhaps a goodbye."""
    turns: list[str] = []
    opening, closing = random.random() < OPEN_SHARE, random.random() < CLOSE_SHARE
    subjects = random.choice((0, 1, 1, 2, 3, 5)) if opening or closing else random.randint(1, 6)
    groups = random.sample(examples.of_kind("chat", "open"), subjects)
    if opening:
        groups = [*_choose(examples.of_kind("open"), random), *groups]
    if closing:
        groups += _choose(examples.of_kind("close"), random)
    for group in groups:
        _add_subject(turns, group, examples, random)
    key = sha256("\n".join(turns).encode()).hexdigest()[:12]
    return Conversation(f"example:{key}", tuple(turns), "examples")


def _choose(groups: Sequence[Group], random: Random) -> list[Group]:
    """One group, or now and then two, as in "hello" and then "how are you?"."""
    return random.sample(groups, min(len(groups), random.choice((1, 1, 2))))


def _add_subject(turns: list[str], group: Group, examples: Examples, random: Random) -> None:
    chosen = choose_slots(examples.slots, random)
    _add(turns, group.exchange, ask(group, chosen, random), chosen, random)
    if group.follow_ups and random.random() < FOLLOW_UP_SHARE:
        exchange = random.choice(group.follow_ups)
        _add(turns, exchange, _phrase(exchange, chosen, random), chosen, random)
    elif group.kind != "close" and random.random() < GENERAL_FOLLOW_UP_SHARE:
        general = random.choice(examples.of_kind("follow"))
        _add(turns, general.exchange, ask(general, chosen, random), chosen, random)
    if random.random() < ASK_AGAIN_SHARE:
        _add(turns, group.exchange, ask(group, chosen, random), chosen, random)


def ask(group: Group, chosen: Chosen, random: Random) -> str:
    """A phrasing of the group's question that is not held out."""
    for _ in range(ATTEMPTS):
        question = _phrase(group.exchange, chosen, random)
        if not is_probe(group.name, question):
            return question
    raise ValueError(f"{group.name}: too few phrasings to hold any out")


def ask_held_out(group: Group, chosen: Chosen, random: Random) -> str | None:
    """A phrasing that was held out, if the group has one."""
    questions = (_phrase(group.exchange, chosen, random) for _ in range(ATTEMPTS))
    return next((text for text in questions if is_probe(group.name, text)), None)


def _phrase(exchange: Exchange, chosen: Chosen, random: Random) -> str:
    return fill(expand(random.choice(exchange.questions), random), chosen)


def _add(
    turns: list[str], exchange: Exchange, question: str, chosen: Chosen, random: Random
) -> None:
    """The question as people type it, and an answer not given before, if one is left."""
    answers = [fill(answer, chosen) for answer in exchange.answers]
    if unused := [answer for answer in answers if answer not in turns]:
        turns.extend([type_like_people(question, random), random.choice(unused)])


def type_like_people(question: str, random: Random) -> str:
    """The question with the capitals, marks and slips of a chat."""
    text = question
    if random.random() < 0.08:
        text = random.choice(LEADS) + text
    if random.random() < 0.4:
        text = text[:1].upper() + text[1:]
    if random.random() < 0.15:
        text = text.replace(" i ", " I ").replace(" i'", " I'")
    if random.random() < 0.03:
        text = text.upper()
    if random.random() < 0.4:
        text = text.rstrip("?.!")
    if random.random() < 0.2:
        text = text.replace("'", "")
    if random.random() < 0.05:
        text += random.choice(("!", "??", " :)", "...", "!!"))
    return _slip(text, random) if random.random() < 0.06 else text


def _slip(text: str, random: Random) -> str:
    """The text with one letter left out, doubled or swapped with the next."""
    if len(text) < 6:
        return text
    at = random.randrange(1, len(text) - 2)
    before, letter, following, rest = text[:at], text[at], text[at + 1], text[at + 2 :]
    slips = (following, letter + letter + following, following + letter)
    return before + random.choice(slips) + rest
