"""still_improving: whether training ended by its limit on epochs, while the score that it monitors still rose.

The last epochs of a one-cycle schedule have small learning rates and gain little, so the second half of training is
compared with all of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

LEAST_SHARE = 0.03
"""Share of the gain since the first epoch that the second half has while a model still improves. Reference models: 0.03
after 10 or 20 epochs on the digits, 0.015 to 0.02 after 100, of which the best is an earlier one."""


def still_improving(history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last epoch of a history is its best, is at the limit, and follows a gain that counts.

    A single epoch cannot tell, and hardly ever suffices.
    """
    monitored = [record for record in history if record.get("validation")]
    if not monitored:
        return False
    last, scores = monitored[-1], [float(record["validation"]["objective"]) for record in monitored]
    if last["epoch"] < last["num_epochs"] or last["best_epoch"] != last["epoch"]:
        return False
    gain, of_second_half = scores[-1] - scores[0], scores[-1] - scores[(len(scores) - 1) // 2]
    return len(scores) == 1 or of_second_half > LEAST_SHARE * gain
