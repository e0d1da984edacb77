"""How chat messages are joined and spelled when they are learned as the bot's words.

The people who wrote the dialogues typed fast. What the bot says starts with a capital,
ends with a full stop and has its apostrophes; what users say is left as it was typed.
"""

import re
from collections.abc import Sequence

APOSTROPHES = {
    "im": "I'm",
    "ive": "I've",
    "dont": "don't",
    "doesnt": "doesn't",
    "didnt": "didn't",
    "isnt": "isn't",
    "arent": "aren't",
    "wasnt": "wasn't",
    "werent": "weren't",
    "havent": "haven't",
    "hasnt": "hasn't",
    "hadnt": "hadn't",
    "cant": "can't",
    "couldnt": "couldn't",
    "wouldnt": "wouldn't",
    "shouldnt": "shouldn't",
    "thats": "that's",
    "whats": "what's",
    "theres": "there's",
    "youre": "you're",
    "youve": "you've",
    "theyre": "they're",
    "i": "I",
    "u": "you",
    "ur": "your",
    "idk": "I don't know",
    "tho": "though",
    "alot": "a lot",
    "gonna": "going to",
    "wanna": "want to",
    "cuz": "because",
    "bc": "because",
    "ya": "yeah",
    "yea": "yeah",
    "yep": "yes",
    "yup": "yes",
    "yah": "yeah",
    "ok": "okay",
    "thx": "thanks",
    "pls": "please",
}
LAUGHTER = re.compile(
    r"[,;]?\s*\b(?:(?:a*ha)+h*|h[ae]h[ae]\w*|lol|lo+l|rofl|xd)\b[.!]*", re.IGNORECASE
)
_WORD = re.compile(r"(?<![\w'])(?:" + "|".join(APOSTROPHES) + r")(?![\w'])", re.IGNORECASE)


def join_messages(messages: Sequence[str]) -> str:
    """One turn from the messages that a speaker sent in a row, each ended by punctuation."""
    parts = [" ".join(message.split()) for message in messages]
    parts = [part for part in parts if part]
    ended = [part if part[-1] in ".!?,:;)…" else f"{part}." for part in parts[:-1]]
    return " ".join(ended + parts[-1:])


def tidy(turn: str) -> str:
    """A turn as the bot would write it: spelled out, capitalised, ended, without "haha"."""
    text = LAUGHTER.sub("", turn)
    text = _WORD.sub(lambda match: APOSTROPHES[match.group().lower()], text)
    text = re.sub(r"([!?.,])\1+", r"\1", text.replace("...", "…"))
    text = re.sub(r"\s+([.,!?])", r"\1", " ".join(text.split())).strip(" ,;.")
    if not re.search(r"\w", text):
        return ""
    text = re.sub(r"(?:^|(?<=[.!?] ))[a-z]", lambda match: match.group().upper(), text)
    return text if text[-1] in ".!?…:)" else _end(turn, text)


def _end(original: str, text: str) -> str:
    """The text with the mark that the original ended in, or a full stop."""
    last = original.rstrip()[-1:]
    return text + (last if last in "!?" and last else ".")
