"""``python -m ccnode`` is the ``ccnode`` command."""

from ccnode.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
