"""Metadata is in pyproject.toml; Dataflow's workers are handed a setup.py to install."""

from setuptools import setup

setup()
