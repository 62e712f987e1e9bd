"""The `roomgraph` command: `python -m roomgraph` and the console script."""

from roomgraph.cli.app import app


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
