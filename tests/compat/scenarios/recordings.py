"""Where the recorded answers are: reference data beside the project, never in it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "SQUIB_RECORDED_ANSWERS"
"""Names the folder; without it, `../shared/aws-recorded` beside the checkout is tried."""

FILE: Final = "lambda_api.json"
_BESIDE: Final = Path(__file__).resolve().parents[4] / "shared" / "aws-recorded"

Answers = Mapping[str, Any]


def find() -> Path | None:
    """The file of recorded answers; None where this machine has none."""
    path = Path(os.environ.get(VARIABLE) or _BESIDE) / FILE
    return path if path.exists() else None


def load(path: Path) -> Mapping[str, Answers]:
    """Scenario (`TestLambdaAlias::test_alias_lifecycle`) -> name of the answer -> what AWS answered."""
    recorded = json.loads(path.read_text())
    return {key.split("::", 1)[1]: entry["recorded-content"] for key, entry in recorded.items()}
