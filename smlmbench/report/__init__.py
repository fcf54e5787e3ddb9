"""Leaderboards, made from the store alone."""

from smlmbench.report.leaderboard import leaderboard_frame
from smlmbench.report.page import ReportFiles, build_report
from smlmbench.report.publish import report_study

__all__ = ["ReportFiles", "build_report", "leaderboard_frame", "report_study"]
