"""The job on engines with worker processes of their own: Beam's job service, Prism, Flink."""
