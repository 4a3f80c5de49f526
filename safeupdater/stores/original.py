"""Reading ``state.json`` as the first versions wrote it, and as a JSON store writes it today.

Assets of the first versions have ids such as ``deployment-my-app-default``, which name no host, and need
not say which image they run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from safeupdater.codec import SCHEMAS, decode
from safeupdater.domain.artifact import Artifact, ChartReference, ImageReference
from safeupdater.domain.asset import Asset, AssetId, AssetStatus, AssetType
from safeupdater.errors import ConfigurationError, CorruptState, InvalidReference
from safeupdater.stores.checkpoint import VERSION

HOST = "local"
"""The host of assets whose file does not say one; the next scan records them under their real one."""
_NAMESPACE = "default"


def is_state_file(state: object) -> bool:
    """Whether an object has the form of a ``state.json``."""
    return isinstance(state, dict) and "version" in state and isinstance(state.get("assets"), list)


def assets_in(state: Mapping[str, Any]) -> tuple[Asset, ...]:
    """The assets of a ``state.json``, with canonical ids; their history is kept where it is of today's form.

    Raises:
        ConfigurationError: the file is damaged, or of another version.
    """
    if state["version"] != VERSION:
        raise _unusable(f"it has version {state['version']!a}, this safeupdater reads {VERSION}")
    return tuple(_asset(fields, number) for number, fields in enumerate(state["assets"]))


def _asset(fields: Any, number: int) -> Asset:
    try:
        if "image" in fields:
            asset: Asset = decode("asset", {"type": "asset", "v": SCHEMAS["asset"].version, **fields})
            return asset
        return _first_form(fields)
    except (CorruptState, InvalidReference) as error:
        raise _unusable(f"assets[{number}]: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(f"assets[{number}] is damaged ({type(error).__name__}: {error})") from error


def _first_form(fields: Mapping[str, Any]) -> Asset:
    asset_type, name = AssetType(fields["asset_type"]), str(fields["name"])
    namespace = _namespace(fields, asset_type, name)
    return Asset(
        id=str(_id(asset_type, name, namespace, fields.get("metadata") or {})),
        name=name,
        asset_type=asset_type,
        image=_artifact(fields, asset_type, name),
        host=HOST,
        namespace=namespace,
        current_version=str(fields["current_version"]),
        available_version=fields.get("available_version"),
        status=AssetStatus(fields.get("status") or AssetStatus.UNKNOWN),
        last_scan=_instant(fields.get("last_scan")),
        last_update=_instant(fields.get("last_update")),
        metadata=fields.get("metadata") or {},
        labels=fields.get("labels") or {},
    )


def _namespace(fields: Mapping[str, Any], asset_type: AssetType, name: str) -> str | None:
    """The namespace that a file says, else the end of its id."""
    if asset_type is AssetType.CONTAINER:
        return None
    prefix = f"{asset_type}-{name}-"
    text = str(fields["id"])
    named = text.removeprefix(prefix) if text.startswith(prefix) else ""
    return str(fields.get("namespace") or named or _NAMESPACE)


def _id(asset_type: AssetType, name: str, namespace: str | None, metadata: Mapping[str, Any]) -> AssetId:
    match asset_type:
        case AssetType.CONTAINER:
            return AssetId(scheme="docker", host=HOST, name=name)
        case AssetType.HELM_RELEASE:
            return AssetId(scheme="helm", host=HOST, namespace=namespace, name=name)
        case AssetType.CUSTOM_RESOURCE:
            kind = str(metadata.get("kind") or asset_type).lower()
            return AssetId(scheme="k8s", host=HOST, namespace=namespace, kind=kind, name=name)
        case _:
            return AssetId(scheme="k8s", host=HOST, namespace=namespace, kind=str(asset_type), name=name)


def _artifact(fields: Mapping[str, Any], asset_type: AssetType, name: str) -> Artifact:
    """The image that the metadata names, else the one that the asset's own name and version make."""
    metadata = fields.get("metadata") or {}
    if asset_type is AssetType.HELM_RELEASE:
        return ChartReference(name=str(metadata.get("chart") or name), version=str(fields["current_version"]))
    return ImageReference.parse(str(metadata.get("image") or f"{name}:{fields['current_version']}"))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(f"the state file cannot be used: {why}", code="invalid_export")
