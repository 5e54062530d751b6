"""The one thing setup.cfg cannot say: all packages under plm/, and configs/ as plm.configs."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["plm", "plm.*"]), "plm.configs"])
