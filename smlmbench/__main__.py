"""The `smlmbench` command as `python -m smlmbench`."""

from smlmbench.cli import main

if __name__ == "__main__":
    main()
