"""
Real tables to try sqlml on; they ship inside scikit-learn, so nothing is downloaded.
"""
