"""The entry point of `lowerbound` and `python -m lowerbound`."""

import signal

from lowerbound.foundation.interrupts import end_at_once, ending_at_once


def main() -> None:
    """Run the command; Ctrl-C ends the process at once during imports, and after the command."""
    with ending_at_once():
        from lowerbound import cli
    try:
        cli.main()
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, end_at_once)


if __name__ == "__main__":
    main()
