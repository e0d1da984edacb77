"""The judgement: what became of each question, by the platform's journal alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tests.auditor.wording import seen_in, words_of
from tests.doubles.journal import Change, Written


class Verdict(StrEnum):
    """What is said of a question, or of a message that belongs to none."""

    WHOLE = "whole, once"
    RECOVERED = "recovered"
    TOLD = "told that it failed"
    LOST = "lost"
    INCOMPLETE = "incomplete"
    DUPLICATED = "duplicated"
    UNEXPECTED = "unexpected"
    OUT_OF_ORDER = "out of order"
    MISPLACED = "misplaced"
    AFTER_FORGET = "seen after /forget"


FINE = frozenset({Verdict.WHOLE, Verdict.RECOVERED})
"""Verdicts that find no fault. A recovered answer is a whole one that a death came before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as it was sent. Its answer must come in `place`; `at` is the server's time."""

    nonce: str
    id: str
    author: str
    place: str
    words: int
    at: float


@dataclass(frozen=True, slots=True)
class Forgotten:
    """From `at` on nothing may be written, or recalled, of what this author asked before it."""

    author: str
    at: float
    asked_before: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict, about a question's nonce (or a message's id), and what it rests on."""

    verdict: Verdict
    about: str
    why: str = ""


@dataclass(slots=True)
class _Shown:
    """A message as it stands in the end, with the times of its first and last write."""

    id: str
    place: str
    text: str
    answers: str | None
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of an audit."""

    findings: Sequence[Finding] = field(default_factory=tuple[Finding, ...])

    def of(self, verdict: Verdict) -> list[str]:
        """What a verdict is about."""
        return [one.about for one in self.findings if one.verdict is verdict]

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How often each verdict was given."""
        return Counter(one.verdict for one in self.findings)

    @property
    def faults(self) -> list[Finding]:
        """The findings that are not fine."""
        return [one for one in self.findings if one.verdict not in FINE]


def audit(
    asked: Sequence[Asked],
    journal: Sequence[Written],
    *,
    forgotten: Sequence[Forgotten] = (),
    deaths: Sequence[float] = (),
) -> Report:
    """Judge every question and every message that more than one person sees.

    `deaths` are the times when the process was killed.
    """
    shown = _shown([one for one in journal if not one.is_private])
    belongs = _by_question(asked, shown)
    findings: list[Finding] = []
    for question in asked:
        findings += _judged(question, belongs[question.id], deaths)
    findings += _strays(asked, shown)
    findings += _mixed(asked, belongs)
    findings += _out_of_order(asked, belongs)
    findings += _after_forget(asked, journal, forgotten)
    return Report(tuple(findings))


def _shown(journal: Sequence[Written]) -> list[_Shown]:
    """What is there in the end, in the order in which it was posted."""
    shown: dict[str, _Shown] = {}
    for one in journal:
        if one.change is Change.DELETED:
            shown.pop(one.message_id, None)
        elif (known := shown.get(one.message_id)) is None:
            shown[one.message_id] = _Shown(
                one.message_id, one.place, one.text, one.answers, one.at, one.at
            )
        else:
            known.text, known.last_at = one.text, one.at
            known.answers = one.answers or known.answers
    return list(shown.values())


def _by_question(asked: Sequence[Asked], shown: Sequence[_Shown]) -> Mapping[str, list[_Shown]]:
    """The messages of each question: those that say so, else those that hold its words."""
    ids = {question.id for question in asked}
    by_nonce = {question.nonce: question.id for question in asked}
    found: dict[str, list[_Shown]] = defaultdict(list)
    for message in shown:
        owner = message.answers if message.answers in ids else None
        if owner is None:
            nonces = [nonce for nonce, _number in words_of(message.text)]
            owner = by_nonce.get(Counter(nonces).most_common(1)[0][0]) if nonces else None
        if owner is not None:
            found[owner].append(message)
    return found


def _judged(
    question: Asked, messages: Sequence[_Shown], deaths: Sequence[float]
) -> Iterator[Finding]:
    """What became of one question."""
    if not messages:
        yield Finding(Verdict.LOST, question.nonce, "nothing is shown")
        return
    about = question.nonce
    words = [word for message in messages for word in words_of(message.text)]
    numbers = [number for nonce, number in words if nonce == about]
    foreign = sorted({nonce for nonce, _number in words if nonce != about})
    if elsewhere := sorted({one.place for one in messages} - {question.place}):
        yield Finding(Verdict.MISPLACED, about, f"in {elsewhere} instead of {question.place}")
    if foreign:
        yield Finding(Verdict.MISPLACED, about, f"holds words of {foreign}")
    if not numbers:
        if not foreign:
            yield Finding(Verdict.TOLD, about, messages[0].text)
        return
    yield from _judged_words(question, messages, numbers)
    if _is_exact(question, numbers) and not foreign and not elsewhere:
        last_at = max(message.last_at for message in messages)
        died = any(question.at < death < last_at for death in deaths)
        yield Finding(Verdict.RECOVERED if died else Verdict.WHOLE, about)


def _judged_words(
    question: Asked, messages: Sequence[_Shown], numbers: Sequence[int]
) -> Iterator[Finding]:
    expected = set(range(1, question.words + 1))
    if missing := expected - set(numbers):
        why = f"{len(missing)} of {question.words} words are missing"
        yield Finding(Verdict.INCOMPLETE, question.nonce, why)
    if len(numbers) > len(set(numbers)):
        yield Finding(Verdict.DUPLICATED, question.nonce, f"in {[one.id for one in messages]}")
    elif list(numbers) != sorted(numbers):
        yield Finding(Verdict.OUT_OF_ORDER, question.nonce, "its own words")
    for message in messages:
        if not words_of(message.text) and not seen_in(message.text):
            yield Finding(Verdict.UNEXPECTED, question.nonce, f"beside the answer: {message.text}")


def _is_exact(question: Asked, numbers: Sequence[int]) -> bool:
    return list(numbers) == list(range(1, question.words + 1))


def _strays(asked: Sequence[Asked], shown: Sequence[_Shown]) -> Iterator[Finding]:
    """Messages that answer nothing that was asked, or not only that."""
    ids, nonces = {one.id for one in asked}, {one.nonce for one in asked}
    for message in shown:
        unknown = sorted({nonce for nonce, _ in words_of(message.text)} - nonces)
        if unknown:
            yield Finding(Verdict.UNEXPECTED, message.id, f"holds words of {unknown}")
        elif message.answers not in ids and not words_of(message.text):
            yield Finding(Verdict.UNEXPECTED, message.id, message.text)


def _mixed(asked: Sequence[Asked], belongs: Mapping[str, Sequence[_Shown]]) -> Iterator[Finding]:
    """Answers whose model saw what was said in another place."""
    places = {one.nonce: one.place for one in asked}
    for question in asked:
        recalled = {one for each in belongs[question.id] for one in seen_in(each.text)}
        strangers = sorted(one for one in recalled if places.get(one) != question.place)
        if strangers:
            yield Finding(Verdict.MISPLACED, question.nonce, f"its context had {strangers}")


def _out_of_order(
    asked: Sequence[Asked], belongs: Mapping[str, Sequence[_Shown]]
) -> Iterator[Finding]:
    """Answers that stand behind one to a later question of the same author in the same place.

    An honest failure may come at once: it waits for nothing.
    """
    by_lane: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    for question in asked:
        by_lane[question.author, question.place].append(question)
    for lane in by_lane.values():
        answered = [one for one in lane if _is_answered(one, belongs.get(one.id, ()))]
        began = {one.id: min(each.first_at for each in belongs[one.id]) for one in answered}
        earliest: Asked | None = None
        for question in reversed(answered):
            if earliest is not None and began[question.id] > began[earliest.id]:
                why = f"behind {earliest.nonce}, asked {earliest.at - question.at:.1f} s later"
                yield Finding(Verdict.OUT_OF_ORDER, question.nonce, why)
            else:
                earliest = question


def _is_answered(question: Asked, messages: Sequence[_Shown]) -> bool:
    nonces = {nonce for message in messages for nonce, _number in words_of(message.text)}
    return question.nonce in nonces


def _after_forget(
    asked: Sequence[Asked], journal: Sequence[Written], forgotten: Sequence[Forgotten]
) -> Iterator[Finding]:
    """What was written of a question after it was to be forgotten."""
    for one in forgotten:
        gone = {
            question.nonce
            for question in asked
            if question.author == one.author and question.at < one.asked_before
        }
        before: dict[str, int] = {}
        for write in journal:
            words = [nonce for nonce, _number in words_of(write.text) if nonce in gone]
            grew = len(words) > before.get(write.message_id, 0)
            before[write.message_id] = len(words)
            told = gone & {*seen_in(write.text)} or (gone & {*words} if grew else set[str]())
            if write.at > one.at and write.change is not Change.DELETED and told:
                for nonce in sorted(told):
                    yield Finding(Verdict.AFTER_FORGET, nonce, f"in {write.message_id}")
