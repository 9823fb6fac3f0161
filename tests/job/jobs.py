"""
A job as a worker takes it from the queue.
"""

from sqlml.job.queue import Job

JOB = Job(
    job_id=1,
    model_id=1,
    schema_name="public",
    model_name="churn",
    owner="postgres",
    target="churned",
    columns=[],
    options={"time_limit": 10.0},
    attempts=1,
    waited_s=0.0,
)
