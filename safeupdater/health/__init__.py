"""Judging health: the monitoring window and its rules. Pure: samples and instants in, verdicts out."""

from safeupdater.health.verdict import Window, baseline_refuses

__all__ = ["Window", "baseline_refuses"]
