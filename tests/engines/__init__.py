"""The job on engines with worker processes of their own: Beam's job service, and Apache Flink."""
