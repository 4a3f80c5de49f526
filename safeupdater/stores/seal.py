"""Sealing what holds secrets before it goes into a database that others can read."""

from __future__ import annotations

import base64
from typing import Any

from safeupdater.codec import dumps, loads
from safeupdater.errors import ConfigurationError, CorruptState, MissingExtraError

KEY_BYTES = 32


class Seal:
    """Authenticated encryption (Fernet) with the caller's key of 32 bytes.

    What is sealed carries the name under which it is stored, so that one sealed value cannot be put in
    another's place.

    Raises:
        ConfigurationError: the key is not 32 bytes.
        MissingExtraError: ``cryptography`` is not installed.
    """

    def __init__(self, key: bytes) -> None:
        if not isinstance(key, bytes) or len(key) != KEY_BYTES:
            raise ConfigurationError("seal_key must be exactly 32 random bytes: os.urandom(32), kept safe")
        try:
            from cryptography.fernet import Fernet
        except ImportError as error:
            raise MissingExtraError(
                "sealing snapshots needs cryptography, which is not installed: pip install 'safeupdater[sql]'"
            ) from error
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def __repr__(self) -> str:
        return "Seal(…)"

    def close(self, name: str, data: object) -> dict[str, Any]:
        """The sealed form of JSON-like data."""
        token = self._fernet.encrypt(dumps({"name": name, "data": data}))
        return {"type": "sealed", "v": 1, "token": token.decode()}

    def open(self, name: str, sealed: dict[str, Any]) -> Any:
        """The data in a sealed form.

        Raises:
            CorruptState: it was sealed with another key or for another name, or changed since.
        """
        from cryptography.fernet import InvalidToken

        try:
            content = loads(self._fernet.decrypt(str(sealed.get("token"))))
        except InvalidToken:
            raise CorruptState(
                f"{name} cannot be unsealed: another key was used, or it was changed", code="wrong_key"
            ) from None
        if content.get("name") != name:
            raise CorruptState(f"{name} was sealed as something else", code="wrong_key")
        return content["data"]


def is_sealed(data: object) -> bool:
    """Whether stored data is sealed."""
    return isinstance(data, dict) and data.get("type") == "sealed"
