"""
Stage 7: a compiled model becomes a version in the catalogue.
"""
