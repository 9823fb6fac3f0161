"""
sqlml: machine learning inside PostgreSQL, in plain SQL.
"""

__version__ = "0.1.0"
