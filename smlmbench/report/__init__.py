"""Leaderboards, made from the store alone."""

from smlmbench.report.page import ReportFiles, build_report

__all__ = ["ReportFiles", "build_report"]
