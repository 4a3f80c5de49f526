"""The newcomer of README's first command: what of this machine it takes along."""

from __future__ import annotations

from testbed.readme import of_pip


def test_pip_outlasts_an_index_that_is_away_and_the_machine_may_say_otherwise() -> None:
    assert of_pip({"HOME": "/root", "PIP_INDEX_URL": "https://mirror/simple"}) == {
        "PIP_RETRIES": "8",
        "PIP_INDEX_URL": "https://mirror/simple",
    }
    assert of_pip({"PIP_RETRIES": "1"}) == {"PIP_RETRIES": "1"}
