"""Environment variables that only look like ours are refused, not ignored (security row A10)."""

from __future__ import annotations

import pytest

from safeupdater import Updater
from safeupdater.config.variables import VARIABLES, refuse_unknown
from safeupdater.errors import ConfigurationError


def test_a_misspelled_variable_is_refused_with_what_was_meant_and_without_its_value() -> None:
    with pytest.raises(ConfigurationError, match="did you mean SAFEUPDATER_POLICY") as caught:
        refuse_unknown({"SAFEUPDATER_POLCY": "/secret/place.yaml", "PATH": "/bin"})
    assert "SAFEUPDATER_POLCY" in str(caught.value)
    assert "/secret/place" not in str(caught.value)


def test_every_known_variable_and_those_of_others_are_fine() -> None:
    refuse_unknown({**dict.fromkeys(VARIABLES, "x"), "SAFEUPDATER_OPERATION": "1", "OTHER": "x"})


def test_the_facade_refuses_them_too() -> None:
    with pytest.raises(ConfigurationError, match="SAFEUPDATER_STORAGE"):
        Updater.from_env({"SAFEUPDATER_STORAGE": "memory:"})
