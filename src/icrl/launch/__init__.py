"""Many runs at once: on this machine, or in a cluster's queue."""
