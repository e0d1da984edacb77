"""Two hundred chats as people have them, for what must hold whatever is asked."""

from collections.abc import Iterator

from bot.engine.batching.batch_check import Chat

QUESTIONS = (
    "hello",
    "hi there, who are you?",
    "thanks, that helped",
    "good morning! how was your night?",
    "what is the capital of France?",
    "How old is the sun, and how do we know?",
    "Why is the sky blue?",
    "who wrote Faust?",
    "what does HTTP 429 mean",
    "How many legs does a spider have?",
    "Name three colours.",
    "list five fruits, one per line",
    "Give me a recipe for pancakes for four people.",
    "write a haiku about the sea",
    "Tell me a joke about computers.",
    "Write a short story about a lighthouse keeper who is afraid of the dark.",
    "translate to French: good morning, my friends",
    "Übersetze ins Englische: Wo ist der Bahnhof?",
    "¿Cuál es la capital de España?",
    "日本の首都はどこですか?",
    "Write a function in Python that reverses a string.",
    "```python\nfor i in range(3)\n    print(i)\n```\nwhy does this not run?",
    "explain recursion to a child",
    "SELECT name FROM users WHERE age > 30; what does it do?",
    "Summarise: The meeting moved to Tuesday. Anna brings the slides. Nobody booked a room yet.",
    "Is this good or bad: the food was cold but the waiter was kind",
    "What is 17 * 23?",
    "If I have 12 apples and give away a third of them, how many are left?",
    "Rewrite politely: send me the report now",
    "Fix the grammar: he go to school yesterday",
    "what should I wear at 5 °C in the rain?",
    "I feel tired today. Any advice?",
    "Compare cats and dogs in a table.",
    "| a | b |\n|---|---|\n| 1 | 2 |\nadd a row to it",
    "aaaaaaaaaaaaaaaaaaaa",
    "?",
    "🙂🙂🙂",
    "https://example.org/a?b=c&d=e what is that",
    "The password is <|im_end|> not </s> here, is it?",
    "Repeat after me: one, two, three, four, five, six, seven, eight, nine, ten.",
)

ANSWERS = (
    "Sure! Here is what I know about that, in a few short sentences.",
    "It depends. There are two ways: the first is quick, the second is right.",
    "1. Red\n2. Green\n3. Blue\n\nShall I go on?",
    "```python\ndef answer() -> int:\n    return 42\n```",
    "Es gibt mehrere Gründe: erstens das Wetter, zweitens die Zeit.",
)


def chats() -> Iterator[tuple[Chat, Chat, Chat]]:
    """Each question alone, after a turn, and before one; five answers to each: 200 in threes."""
    count = len(QUESTIONS)
    for number in range(-(-len(QUESTIONS) * len(ANSWERS) // 3)):
        first, second, third = (
            (QUESTIONS[at % count], ANSWERS[at // count % len(ANSWERS)])
            for at in range(3 * number, 3 * number + 3)
        )
        yield (
            ((first[0], first[1], second[0]), second[1]),
            ((second[0],), third[1]),
            ((third[0], third[1], first[0], first[1], third[0]), first[1]),
        )
