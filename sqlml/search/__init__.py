"""
Stage 5: a dataset becomes a leaderboard and a fitted model.
"""
