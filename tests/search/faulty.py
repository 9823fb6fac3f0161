"""
A process for trials whose linear models go wrong, in the way that its argument says.
"""

import os
import sys
import time

from sqlml.search import process
from sqlml.search.estimators.estimator import Fit, Order, OutOfTime
from sqlml.search.estimators.linear import Linear
from sqlml.search.leaderboard import Hyperparameters

HUGE = 1 << 50


class Faulty:
    """A fitter that does not fit."""

    def fit(self, hyperparameters: Hyperparameters, order: Order) -> Fit:
        """Go wrong."""
        match sys.argv[1]:
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), 9)
            case "hang":
                time.sleep(1000)
            case "eat memory":
                bytearray(HUGE)
            case "print":
                os.write(1, b"what a library prints\n")
            case "refuse":
                raise OutOfTime("there was time for 3 of 8 rows only")
        raise ValueError("singular matrix")


if __name__ == "__main__":
    Linear.fitter = lambda self, sample: Faulty()  # type: ignore[method-assign,assignment,return-value]
    process.main()
