"""Leaderboards, made from the store alone."""
