"""A study from its file to its leaderboard; the one room that knows all stations."""
