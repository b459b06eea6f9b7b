"""compare - two notes into the list of their differences.

Values are compared, not only shapes. What cannot be equal (times, IDs, numbers that measure) becomes a
word first: an ID the case knows becomes its name, so that references are compared too."""
import fnmatch
import re

HEX = re.compile(r"(?<!sha256:)(?<![0-9a-zA-Z])(?:[0-9a-f]{64}|[0-9a-f]{12})(?![0-9a-zA-Z])")
TIME = re.compile(r"\b(?!0001-)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
AGO = re.compile(r"\b(?:Less than a second|About a minute|\d+ (?:second|minute)s?)\b")
# Numbers that measure something of this machine or this moment.
MEASURED = {"Created", "time", "timeNano", "Pid", "PID", "SizeRw", "SizeRootFs", "SpaceReclaimed", "LayersSize",
            "NFd", "NGoroutines", "NCPU", "MemTotal", "execDuration", "CreatedAt", "NEventsListener", "mtime"}


def normal(value, known, key=None):
    if isinstance(value, dict):
        return {normal(k, known): normal(v, known, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [normal(v, known) for v in value]
        # Networks and volumes come in the order of a Go map: none.
        if items and all(isinstance(i, dict) and "Name" in i and "Driver" in i for i in items):
            items.sort(key=lambda i: i["Name"])
        # So do ports; and images of one age are in no order (ours all are of 1970).
        for name in ("PrivatePort", "RepoTags", "Path"):
            if items and all(isinstance(i, dict) and name in i for i in items):
                items.sort(key=lambda i: (str(i.get("Id")), i.get("PrivatePort", 0), i.get("Path", "")))
        if key in ("RepoTags", "Tags"):
            items.sort()
        return items
    if isinstance(value, bool) or value is None:
        return value
    if key in MEASURED and (isinstance(value, (int, float)) or str(value).isdigit()):
        return f"<{type(value).__name__}>"
    if not isinstance(value, str):
        return value

    def named(match):
        text = match.group()
        for full, name in known.items():
            if full.startswith(text):
                return name if len(text) == len(full) else f"<short {name[1:]}"
        return "<hex>" if re.search("[a-f]", text) else text
    value = re.sub(r"/tmp/sockerless-diff\.\w+", "<folder>", value)
    return AGO.sub("<ago>", TIME.sub("<time>", HEX.sub(named, value)))


def kind(value):
    return type(value).__name__


def differences(ours, theirs, path=""):
    """[(path, ours, theirs)]; a missing member is '(absent)'."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for key in sorted(ours.keys() | theirs.keys()):
            where = f"{path}.{key}" if path else str(key)
            if key not in ours:
                found.append((where, "(absent)", theirs[key]))
            elif key not in theirs:
                found.append((where, ours[key], "(absent)"))
            else:
                found += differences(ours[key], theirs[key], where)
        return found
    if isinstance(ours, list) and isinstance(theirs, list):
        found = []
        if len(ours) != len(theirs):
            return [(f"{path}.length", ours, theirs)]
        for i, (a, b) in enumerate(zip(ours, theirs)):
            found += differences(a, b, f"{path}.{i}")
        return found
    return [] if ours == theirs and kind(ours) == kind(theirs) else [(path, ours, theirs)]


def captured(pattern, value):
    """What the {}s of the pattern stand for in value, or None if it is another value."""
    if not isinstance(pattern, str):
        return () if pattern == value and kind(pattern) == kind(value) else None
    text = re.escape(pattern).replace(r"\{\}", "(.*)").replace(r"\*", ".*")
    match = re.fullmatch(text, value, re.S) if isinstance(value, str) else None
    return match.groups() if match else None


class Declared:
    """One difference that is meant. case and path are shell patterns, row names a row of the mapping page.
    values: (ours, theirs), where in a text * is anything and {} the same on both sides; or a function of both."""

    def __init__(self, row, case, path, values):
        self.row, self.case, self.path, self.values = row, case, path, values
        self.seen = 0

    def covers(self, case, path, ours, theirs):
        if not fnmatch.fnmatchcase(case, self.case) or not fnmatch.fnmatchcase(path, self.path):
            return False
        if callable(self.values):
            try:
                return bool(self.values(ours, theirs))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                return False  # not what it is about
        mine, yours = captured(self.values[0], ours), captured(self.values[1], theirs)
        return mine is not None and mine == yours
