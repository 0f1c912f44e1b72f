"""``python -m physai``."""

from physai.cli import main

raise SystemExit(main())
