"""Platforms of images and machines, and which image runs on which machine."""

from __future__ import annotations

import re

import attrs

from safeupdater.errors import RegistryError


@attrs.frozen(kw_only=True)
class Platform:
    """Operating system, architecture and variant, by Go's names with containerd's normalisation."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """The platform that ``linux/arm64/v8`` names.

        Raises:
            RegistryError: the text is no platform.
        """
        parts = text.lower().split("/")
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[a-z0-9_.-]{1,32}", part) for part in parts):
            raise RegistryError(f"{text!a} is not a platform: expected os/architecture such as linux/amd64")
        return cls.of(*parts)

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "") -> Platform:
        """The normalised platform of three separate words."""
        architecture, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
        variant = variant.lower() or implied
        variant = "v" + variant if variant.isdigit() else variant
        if (architecture, variant) in _USUAL_VARIANTS:
            variant = ""
        return cls(os=os.lower(), architecture=architecture, variant=variant)

    def accepted(self) -> tuple[Platform, ...]:
        """What runs here, best first: 32-bit ARM takes older variants, others only themselves."""
        if self.architecture != "arm":
            plain = attrs.evolve(self, variant="")
            return (self,) if self == plain else (self, plain)
        newest = int(self.variant[1:] or 7) if self.variant[1:].isdigit() or not self.variant else 7
        return tuple(Platform.of(self.os, "arm", f"v{number}") for number in range(newest, 4, -1))

    def runs(self, image: Platform) -> bool:
        """Whether an image for that platform runs on this one."""
        return image in self.accepted()

    def in_place_of(self, running: Platform) -> Platform:
        """For which platform an image is chosen on this machine, in the place of one that runs here.

        Among the variants of 32-bit ARM it is the machine that says what can run, as Docker chooses: its
        own variant first, then older ones. Otherwise it is what runs: whoever lets a machine emulate
        another architecture keeps it.
        """
        is_same = (self.os, self.architecture) == (running.os, running.architecture)
        return self if is_same and self.architecture == "arm" else running

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


_ARCHITECTURES = {
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "aarch64": ("arm64", ""), "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"), "i386": ("386", ""),
    # As uname says them of a machine; armv8l is a 64-bit one that runs 32-bit programs.
    "armv5tel": ("arm", "v5"), "armv6l": ("arm", "v6"), "armv7l": ("arm", "v7"), "armv8l": ("arm", "v8"),
}  # fmt: skip
_USUAL_VARIANTS = frozenset({("arm64", "v8"), ("arm", "v7"), ("amd64", "v1")})
