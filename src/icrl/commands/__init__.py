"""What the command line runs: a plain function each."""
