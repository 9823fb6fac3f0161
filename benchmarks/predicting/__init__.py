"""The parts of benchmarks/predict.py: its table, models, server, subjects and goals."""
