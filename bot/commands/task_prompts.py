"""The instructions with which models are asked for a task, each family in its own way (pure).

FLAN-T5 was trained on tasks written like these (Longpre et al., "The Flan Collection", 2023);
chat models are told in plain words.
"""

from collections.abc import Sequence

from config.catalogue import Family


def translation(family: Family, text: str, language: str) -> str:
    """Ask for a text in a language, such as "German"."""
    if family is Family.FLAN_T5:
        return f"Translate to {language}:\n\n{text}"
    return (
        f"Translate the text below into {language}. Write the translation alone, without notes."
        f"\n\nText:\n{text}"
    )


def sentiment(family: Family, text: str, labels: Sequence[str]) -> str:
    """Ask which of the labels fits a text."""
    if family is Family.FLAN_T5:
        options = "\n".join(f"- {label}" for label in labels)
        return f"{text}\n\nWhat is the sentiment of this text?\nOPTIONS:\n{options}"
    choices = ", ".join(labels)
    return (
        f"Is the mood of the text below {choices}? Answer with one of these words and nothing else."
        f"\n\nText:\n{text}"
    )


def summary(family: Family, dialogue: str) -> str:
    """Ask what was said in a piece of a conversation."""
    if family is Family.FLAN_T5:
        return f"{dialogue}\n\nBriefly summarize that dialogue."
    return (
        "Summarize this piece of a chat in one or two sentences: what was said, asked and decided,"
        f" and by whom. Write the summary alone.\n\n{dialogue}"
    )


def overview(family: Family, points: Sequence[str]) -> str:
    """Ask for the gist of several summaries."""
    listed = "\n".join(points)
    if family is Family.FLAN_T5:
        return f"{listed}\n\nWrite a short summary of the text above."
    return f"Sum up these notes about a chat in two or three sentences, alone:\n\n{listed}"
