"""`fortress backup`, `backups`, `restore` and `drill`: one conversation with the database's host."""
