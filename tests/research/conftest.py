"""Research lies beside the packages and is not installed: it is found from the checkout, behind what is installed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
