#!/usr/bin/env python3
"""style - what a formatter cannot keep (aligned comments, tables, drawn wire layouts) but every line must
hold: tabs, width, no trailing blanks, an opening comment, no struct typedefs; words that have no place
in the repository; and that what begins with #! is executable, and nothing else."""
import os
import pathlib
import re
import subprocess
import sys

WIDTH = 160  # hard limit; 100 is the aim, but a table row or a sentence may run on
FORBIDDEN = {
    # paths of the machine it was written on, and promises
    r"/(home|Users)/(?!app\b)\w+/|/tmp/b-": "a path of one machine",
    r"\b(TODO|FIXME|XXX|HACK)\b": "a promise; finish it, or write NEEDSWORK: and the open question",
    r"<<<<<<<|>>>>>>>": "a merge conflict",
}


def check(path, text, complain):
    code = path.suffix in (".c", ".h")
    if text and not text.endswith("\n"):
        complain(path, 0, "no newline at the end")
    if code and not text.startswith("/*"):
        complain(path, 1, "does not open with a comment on what it owns")
    for n, line in enumerate(text.split("\n"), 1):
        if line.endswith((" ", "\t", "\r")):
            complain(path, n, "trailing blanks")
        for pattern, why in FORBIDDEN.items():
            if re.search(pattern, line) and path.parts[:2] != ("tests", "lint"):
                complain(path, n, why)
        if not code:
            continue
        if len(line.expandtabs(8)) > WIDTH and not line.lstrip().startswith('"'):
            complain(path, n, f"{len(line.expandtabs(8))} columns")
        if re.match(r" {8}", line):
            complain(path, n, "indented by blanks")
        if re.match(r"\s*typedef\s+(struct|enum|union)\b", line):
            complain(path, n, "struct, enum and union are not hidden by a typedef")


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    names = subprocess.run(["git", "-C", root, "ls-files", "-z"], capture_output=True, check=True)
    complaints, files = [], 0

    def complain(path, line, what):
        complaints.append(f"{path}:{line}: {what}")

    for name in names.stdout.decode().split("\0"):
        path = pathlib.Path(name)
        if not name or "corpus" in path.parts or not (root / path).is_file():
            continue
        try:
            text = (root / path).read_text()
            if text.startswith("#!") != os.access(root / path, os.X_OK):
                complain(path, 1, "executable without #!, or the other way round")
            check(path, text, complain)
        except UnicodeDecodeError:
            continue
        files += 1
    print("\n".join(complaints))
    print(f"style: {files} files, {len(complaints)} complaints")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
