"""Stage 8: artifacts are evaluated, by the scoring core and by the reference predictor."""
