"""
Stage 4: a relation in PostgreSQL becomes a dataset in Arrow.
"""
