"""The parts of a release, and how they are built: python -m release.build v1.2.3."""
