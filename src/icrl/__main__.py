"""`python -m icrl` is the `icrl` command."""

from icrl.cli import main

if __name__ == "__main__":
    main()
