"""Real servers for real tests: each module starts one on loopback and stops it by process id."""
