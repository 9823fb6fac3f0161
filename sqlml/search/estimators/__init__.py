"""
The estimators: each with its hyperparameter space, its portfolio and its fit.
"""
