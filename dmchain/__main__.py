"""``python -m dmchain``."""

from dmchain.node.cli.app import main

if __name__ == "__main__":
    main()
