"""figure - what one line of the table is: its name, unit, the direction that is better, and the goals it has.
A step measures some figures for one subject (plain, tls, dockerd, floor) once; the driver repeats it in turns."""
import dataclasses
import json
import os
import subprocess

import engines
from engines import NotMeasured  # noqa: F401  # the groups' way out

SMOKE = bool(os.environ.get("BENCH_SMOKE"))
SUBJECTS = ("plain", "tls", "dockerd", "floor")


@dataclasses.dataclass
class Goal:
    subject: str
    text: str
    times: float = None      # better than dockerd by at least so much
    at_most: float = None
    at_least: float = None

    def judge(self, value, ratio):
        """None when it cannot be said."""
        if self.times is not None:
            return None if ratio is None else ratio >= self.times
        if value is None:
            return None
        return value <= self.at_most if self.at_most is not None else value >= self.at_least


@dataclasses.dataclass
class Figure:
    key: str
    title: str
    unit: str
    better: str = "lower"
    goals: list = dataclasses.field(default_factory=list)
    compare: bool = True     # a ratio to dockerd and to the floor has a meaning


@dataclasses.dataclass
class Step:
    keys: list               # of the figures it measures
    measure: object          # measure(bench, subject) -> {key: value}
    subjects: tuple = SUBJECTS
    rounds: int = 1000       # at most; long ones are repeated less
    last: bool = False       # once, after all rounds: it loads the machine, or leaves it changed


def times(subject, n):
    return Goal(subject, f"{subject} {n:g}x", times=n)


def at_most(subject, value, unit):
    return Goal(subject, f"{subject} <= {value:g} {unit}", at_most=value)


def at_least(subject, value, unit):
    return Goal(subject, f"{subject} >= {value:.3g} {unit}", at_least=value)


def program(name):
    return engines.BUILD / "test" / f"bench_{name}"


def client(engine, container, what, *numbers, timeout=300):
    """client.c's figure for this engine."""
    return parsed(program("client"), engine.socket, container, what, *numbers, timeout=timeout)


def floor(what, *arguments):
    return parsed(program("floor"), what, *arguments, timeout=300)


def parsed(*argv, timeout):
    try:
        return json.loads(engines.command(*argv, timeout=timeout))
    except subprocess.TimeoutExpired as e:
        raise engines.Failure(f"{argv[0].name} {argv[-2:]}: no end after {timeout} s") from e


def size(smoke, full):
    return smoke if SMOKE else full
