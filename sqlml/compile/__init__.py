"""Stage 6: a fitted model becomes an artifact. docs/artifact.md describes the bytes."""
