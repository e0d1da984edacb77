"""What a terminal may be sent of a text that somebody else wrote (pure).

Cleaning keeps prefixes: the clean form of a text's beginning begins the clean form of the text,
so that an answer can be cleaned anew while it grows.
"""

import re

# ECMA-48 control sequences, two-character escapes, and either of them cut off at the end.
_ESCAPE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*(?:[@-~]|$)|\x1b[ -/]*(?:[0-~]|$)")
_LINE_END = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_OVERRIDE = re.compile("[\u202a-\u202e]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without control characters and escape sequences; every line ends in "\\n".

    Tabs stay, and so do combining marks, joiners and the marks of right-to-left text; overrides
    of the direction, which can make a text read as another, go.
    """
    text = _LINE_END.sub("\n", _ESCAPE.sub("", text))
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _OVERRIDE.sub("", text)))
