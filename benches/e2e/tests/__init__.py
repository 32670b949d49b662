"""`python3 -m unittest discover -t benches/e2e -s benches/e2e/tests`, from the clone."""
