"""What a release of this project consists of, and how it is built: python -m release.build v1.2.3."""
