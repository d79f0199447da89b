"""`python -m pulka` is the `pulka` command."""

from pulka.surfaces.cli.main import main

if __name__ == "__main__":
    main()
