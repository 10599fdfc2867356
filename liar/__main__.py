"""Entry point of ``python -m liar``."""

from liar.cli import main

if __name__ == "__main__":
    main()
