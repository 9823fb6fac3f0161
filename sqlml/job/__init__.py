"""
Stage 3: the queue, the worker, and the child process that does its jobs.
"""
