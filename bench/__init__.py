"""The measuring room: what the program costs, each figure a ratio within one run. `python -m bench --help`."""
