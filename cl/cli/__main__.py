"""`python -m cl.cli` is the command `cl`."""

from cl.cli.main import main

if __name__ == "__main__":
    main()
