"""Arrays of jobs on a real Slurm: two nodes on loopback, started and ended by the tests."""
