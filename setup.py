"""What a worker installs: the packages, their dependencies and the released model."""

from setuptools import setup

setup(
    name="capuchinbird-counter",
    version="0.1.0",
    description="Counts Capuchinbird calls in large archives of forest recordings",
    python_requires=">=3.11,<3.13",
    packages=["model", "pipeline"],
    package_data={
        "model": ["released/*"],
        "pipeline": ["report.css", "report.js", "views/*.sql"],
    },
    install_requires=[
        "apache-beam[gcp]>=2.77,<2.78",
        "google-cloud-storage>=3,<4",
        "google-crc32c>=1.5",
        "matplotlib>=3.9",
        "numpy>=2",
        "pyarrow>=16",
        "soundfile>=0.13",
        "soxr>=0.5",
        "tensorboard>=2.20",
        "tensorflow>=2.21,<2.22",
        "tensorflow-io==0.37.1",
        "tfx-bsl>=1.21,<1.22",
    ],
    extras_require={
        "aac": ["av>=14"],
        "dev": [
            "av>=14",
            "crowsetta>=5",
            "hypothesis",
            "mypy",
            "pre-commit",
            "pytest",
            "ruff",
            "websockets",
        ],
    },
)
