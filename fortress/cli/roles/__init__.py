"""`fortress switchover`, `promote`, `reseed` and `recover`: a server of the database changes its role."""
