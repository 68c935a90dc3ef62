"""``python -m provara``: the executable, in the place of this process."""

from provara._entry import main

if __name__ == "__main__":
    main()
