"""The lock on an account: one holder, and nothing left behind."""

from pathlib import Path

import pytest

from bot.errors import UserFacingError
from bot.platforms.account_lock import account_lock

ACCOUNT = "console:ann"


def test_nothing_is_left_after_the_block(tmp_path: Path) -> None:
    with account_lock(tmp_path, ACCOUNT):
        assert [*tmp_path.iterdir()]
    assert not [*tmp_path.iterdir()]


def test_nothing_is_left_after_a_block_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), account_lock(tmp_path, ACCOUNT):
        raise ZeroDivisionError
    assert not [*tmp_path.iterdir()]


def test_who_is_refused_leaves_the_holders_lock_in_place(tmp_path: Path) -> None:
    with account_lock(tmp_path, ACCOUNT):
        for _ in range(2):
            with pytest.raises(UserFacingError), account_lock(tmp_path, ACCOUNT):
                pass
    with (
        account_lock(tmp_path, ACCOUNT),
        pytest.raises(UserFacingError),
        account_lock(tmp_path, ACCOUNT),
    ):
        pass
