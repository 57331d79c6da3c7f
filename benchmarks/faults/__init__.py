"""Fault injection: killed processes, full disks, damaged files, hostile input, against every command.

    make test-faults                               all faults, without figures; two hours on one core
    python -m benchmarks.faults kills disk --share 0.1 --seed 7 --json faults.json

Each command runs in a child forked from a process that has imported everything, so a fault costs no more than the
command itself. The faults are real: a kill is SIGKILL, or the kernel ending a process whose write exceeds a limit; a
full disk is a full file system, a limit on file sizes, or an error raised at the system call; damaged files are on
disk. No part of the product knows that it is being tested.
"""
