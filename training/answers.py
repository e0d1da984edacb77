"""What answers to held-out questions look like: ended, varied, on the question, not copied."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from bot.engine.base import SamplingParameters
from training.conversation import Conversation
from training.decoding import answer
from training.dialogue import ask_held_out
from training.examples import Examples, Group, choose_slots, fill
from training.filters import has_personal_data, has_profanity
from training.tokenizer import BEGIN, BOT, END, USER, special_id

MAX_CONTEXT_TURNS = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """A question and what the model said to it."""

    question: str
    text: str
    has_ended: bool


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """Shares are between 0 and 1."""

    answers: int
    ended_share: float
    distinct_1: float
    distinct_2: float
    copies_question_share: float
    repeats_itself_share: float
    profanity_share: float
    personal_data_share: float
    mean_words: float


class Speaker:
    """The model with its tokenizer and one source of chance; says the next turn."""

    def __init__(
        self,
        model: LlamaForCausalLM,
        tokenizer: Tokenizer,
        sampling: SamplingParameters,
        seed: int = 0,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(seed)

    def reply(self, turns: Sequence[str]) -> Reply:
        """The answer to turns of which the last is the user's."""
        ids = [special_id(BEGIN)]
        for index, turn in enumerate(turns):
            mark = USER if (len(turns) - index) % 2 else BOT
            ids += [special_id(mark), *self._tokenizer.encode(turn).ids, special_id(END)]
        found = answer(self._model, [*ids, special_id(BOT)], self._sampling, self._generator)
        return Reply(turns[-1], self._tokenizer.decode(list(found.ids)), found.has_ended)

    def converse(self, questions: Iterable[str]) -> list[Reply]:
        """A whole conversation, each answer in the context of those before."""
        turns: list[str] = []
        replies: list[Reply] = []
        for question in questions:
            turns.append(question)
            replies.append(self.reply(turns))
            turns.append(replies[-1].text)
        return replies


def held_out_prompts(conversations: Sequence[Conversation], count: int) -> list[tuple[str, ...]]:
    """Beginnings of held-out chats, one to five turns, that end with the user's."""
    random = Random(count)
    chats = [item for item in conversations if item.origin == "chitchat"]
    chosen = random.sample(chats, min(count, len(chats)))
    lengths = range(1, MAX_CONTEXT_TURNS + 1, 2)
    return [item.turns[: random.choice(lengths)] for item in chosen]


def measure(replies: Sequence[Reply]) -> AnswerFigures:
    """The figures over many answers."""
    texts = [reply.text for reply in replies]
    words = [_words(text) for text in texts]

    def share(flags: Iterable[bool]) -> float:
        return round(sum(flags) / len(replies), 4)

    return AnswerFigures(
        answers=len(replies),
        ended_share=share(reply.has_ended for reply in replies),
        distinct_1=distinct(words, 1),
        distinct_2=distinct(words, 2),
        copies_question_share=share(copies_question(reply) for reply in replies),
        repeats_itself_share=share(repeats_itself(text) for text in texts),
        profanity_share=share(has_profanity(text) for text in texts),
        personal_data_share=share(has_personal_data(text) for text in texts),
        mean_words=round(sum(map(len, words)) / len(words), 1),
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _grams(words: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]


def distinct(texts: Iterable[Sequence[str]], size: int) -> float:
    """Distinct n-grams divided by all n-grams (Li et al., arXiv:1510.03055)."""
    grams = [gram for words in texts for gram in _grams(words, size)]
    return round(len(set(grams)) / max(1, len(grams)), 4)


def copies_question(reply: Reply) -> bool:
    """Whether most of the answer's word pairs are the question's, in answers of three or more."""
    answered = _grams(_words(reply.text), 2)
    asked = set(_grams(_words(reply.question), 2))
    return len(answered) >= 2 and sum(gram in asked for gram in answered) > len(answered) / 2


def repeats_itself(text: str) -> bool:
    """Whether three words in a row come twice in one answer."""
    grams = _grams(_words(text), 3)
    return len(grams) != len(set(grams))


def repeats_earlier_share(conversations: Sequence[Sequence[Reply]]) -> float:
    """The share of answers that were already given in the same conversation."""
    repeated = [
        reply.text in {earlier.text for earlier in replies[:at]}
        for replies in conversations
        for at, reply in enumerate(replies)
    ]
    return round(sum(repeated) / max(1, len(repeated)), 4)


@dataclass(frozen=True, slots=True)
class ProbeFigures:
    """Phrasings of the examples' questions that were held out, and how many were understood."""

    questions: int
    understood_share: float


def probe(speaker: Speaker, examples: Examples, per_group: int) -> tuple[ProbeFigures, list[str]]:
    """Whether the answer to an unseen phrasing is one of its group's; and what went wrong."""
    random = Random(per_group)
    asked, missed = 0, list[str]()
    for group in examples.of_kind("open", "chat", "close"):
        for question, answers in _probes(group, examples, per_group, random):
            asked += 1
            reply = speaker.reply([question])
            if reply.text not in answers:
                missed.append(f"{group.name}: {question} -> {reply.text}")
    share = 1 - len(missed) / max(1, asked)
    return ProbeFigures(asked, round(share, 4)), missed


def _probes(
    group: Group, examples: Examples, count: int, random: Random
) -> Iterable[tuple[str, set[str]]]:
    for _ in range(count):
        chosen = choose_slots(examples.slots, random)
        question = ask_held_out(group, chosen, random)
        if question is not None:
            yield question, {fill(answer, chosen) for answer in group.exchange.answers}


def as_json(figures: AnswerFigures | ProbeFigures) -> dict[str, float]:
    """The figures by name."""
    return asdict(figures)
