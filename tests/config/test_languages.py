"""Languages are chosen by code or by name."""

import pytest

from config.languages import LANGUAGES, language_code


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_language_is_known_by_its_code_and_by_its_name(code: str) -> None:
    name = LANGUAGES[code]
    assert {language_code(one) for one in (code, code.upper(), name, f" {name.lower()} ")} == {code}


@pytest.mark.parametrize(
    ("written", "near"), [("Germann", "de"), ("en_GB", "en"), ("Chines", "zh")]
)
def test_an_unknown_language_is_refused_with_the_nearest_known_one(written: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {near} "):
        language_code(written)


def test_what_is_near_no_language_is_refused_with_all_of_them() -> None:
    with pytest.raises(ValueError, match=", ".join(LANGUAGES)):
        language_code("xylophone")
