"""
Stage 3: the queue, the worker, and its child process, one a job.
"""
