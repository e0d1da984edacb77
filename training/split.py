"""Which conversations are held out, decided by the conversation's id alone.

The split comes before filtering, tokenizer training and everything else, and does not
depend on order or on a random generator, so that it stays the same when data is added.
"""

import hashlib

HELD_OUT_PERCENT = 5


def is_held_out(conversation_id: str) -> bool:
    """Whether the conversation belongs to the held-out split."""
    digest = hashlib.sha256(conversation_id.encode()).digest()
    return int.from_bytes(digest[:4]) % 100 < HELD_OUT_PERCENT
