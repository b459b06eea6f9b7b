"""main - runs every case against both engines at the same time and compares what they noted.

Ends with "diff: N passed, N failed"; a case passes when each of its differences is declared."""
import importlib
import json
import os
import pathlib
import re
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compare  # noqa: E402
import declared  # noqa: E402
import engines  # noqa: E402
import session  # noqa: E402

HERE = pathlib.Path(__file__).parent

class Recorder:
    """The gateway's answers, for the validation against the published documents (tests/contract)."""

    def __init__(self):
        self.answers = []

    def __call__(self, method, path, version, answer):
        text = answer.body().decode("utf-8", "replace") if len(answer.body()) < 1 << 20 else ""
        self.answers.append({"method": method, "path": path, "version": version, "status": answer.status,
                             "type": answer.headers.get("content-type", ""), "body": text})


def files(arguments):
    names = sorted(p.stem for p in HERE.glob("cases_*.py"))
    return [n for n in names if not arguments or any(n == f"cases_{a}" for a in arguments)]


def load(name):
    session.CASES.clear()
    module = importlib.import_module(name)
    only = re.compile(os.environ.get("ONLY", ""))
    cases = []
    for title, fn, versions in session.CASES:
        for version in versions:
            full = title if version == "1.41" else f"{title} ({version or 'no version'})"
            if only.search(full):
                cases.append((full, fn, version))
    return session.SETUPS.get(module.__name__), cases


def run_case(s, fn, version):
    """The notes of one case on one engine."""
    s.notes, s.version = [], version
    known = dict(s.known)
    try:
        fn(s)
    except Exception as e:  # noqa: BLE001 - whatever a case meets is part of what is compared
        s.note("raised", f"{type(e).__name__}: {e}")
        s.trace = traceback.format_exc()
    notes = compare.normal(s.notes, s.known)
    s.version = "1.41"
    s.tidy()
    s.known = known
    return notes


def run_file(s, prepare, cases, out):
    s.version, s.notes, kept = "1.41", [], []
    try:
        if prepare:
            prepare(s)
            kept, s.made = s.made, []
    except Exception:  # noqa: BLE001
        out["setup"] = traceback.format_exc()
        s.tidy()
        return
    for title, fn, version in cases:
        began = time.monotonic()
        out[title] = run_case(s, fn, version)
        if os.environ.get("VERBOSE") and time.monotonic() - began > 1:
            print(f"# {s.engine} took {time.monotonic() - began:.1f} s: {title}")
    if s.record:
        # Once more, at the versions of the published documents: only to be recorded.
        for i, (title, fn, _) in enumerate(cases):
            run_case(s, fn, session.SHADOWS[i % len(session.SHADOWS)])
    s.tidy(kept)
    s.known = {}


class Report:
    def __init__(self, table, mapping):
        self.declared = [compare.Declared(*row) for row in table]
        self.mapping = mapping
        self.passed, self.failed, self.behaviours = 0, 0, set()

    def case(self, title, ours, theirs):
        if ours is None or theirs is None:
            return self.fail(title, ["did not run"])
        found = compare.differences(flat(ours), flat(theirs))
        unexplained = []
        for path, a, b in found:
            covering = [d for d in self.declared if d.covers(title, path, a, b)]
            for d in covering:
                d.seen += 1
            if not covering:
                unexplained.append(f"{path}:\n    gateway {short(a)}\n    dockerd {short(b)}")
        if unexplained:
            return self.fail(title, unexplained)
        self.passed += 1
        self.behaviours.add(re.sub(r" \((1\.\d+|no version)\)$", "", title))
        if os.environ.get("VERBOSE"):
            print(f"ok - {title}")

    def fail(self, title, lines):
        self.failed += 1
        print(f"not ok - {title}")
        for line in lines:
            print("  " + line)

    def stale(self):
        for row in sorted({d.row for d in self.declared}):
            if f"| {row} |" not in self.mapping:
                self.fail(f"declared: {row}", ["the mapping page has no such row"])
        for d in self.declared:
            if not d.seen and not os.environ.get("ONLY") and len(sys.argv) == 1:
                self.fail(f"declared: {d.case} | {d.path}", ["is no longer seen"])


def flat(notes):
    """{"0 answer": …}: a case's notes, numbered."""
    return {f"{i} {what}": value for i, (what, value) in enumerate(notes)}


def short(value):
    text = json.dumps(value, sort_keys=True)
    limit = int(os.environ.get("WIDTH", "300"))
    return text if len(text) <= limit else text[:limit] + "…"


def main():
    started = time.monotonic()
    recorder = Recorder()
    mapping = (engines.PROJECT / "docs/docker-api-mapping.md").read_text()
    report = Report([(row, *entry) for row, entries in declared.DECLARED.items() for entry in entries],
                    mapping)
    with tempfile.TemporaryDirectory(prefix="sockerless-diff.", ignore_cleanup_errors=True) as folder:
        both = engines.Engines(folder)
        try:
            both.start()
            sessions = {name: session.Session(name, path, both.registry, recorder if name == "gateway" else None)
                        for name, path in both.socket.items()}
            for name in files(sys.argv[1:]):
                prepare, cases = load(name)
                if not cases:
                    continue
                out, from_ = {"gateway": {}, "dockerd": {}}, time.monotonic()
                threads = [threading.Thread(target=run_file, args=(s, prepare, cases, out[engine]))
                           for engine, s in sessions.items()]
                [t.start() for t in threads]
                [t.join() for t in threads]
                for engine, notes in out.items():
                    if "setup" in notes:
                        report.fail(f"{name}: preparation on {engine}", notes["setup"].splitlines())
                for title, *_ in cases:
                    report.case(title, out["gateway"].get(title), out["dockerd"].get(title))
                print(f"# {name}: {len(cases)} cases, {time.monotonic() - from_:.1f} s", flush=True)
                if both.dead():
                    report.fail("the engines live", [f"{n} died:\n{both.log(n)}" for n in both.dead()])
                    break
        finally:
            codes = both.stop()
        if codes.get("gateway") != 0:
            report.fail("the gateway stops when told", [f"status {codes.get('gateway')}", both.log("gateway")])
    report.stale()
    if not report.behaviours and not report.failed:
        report.fail("cases", [f"none matches ONLY={os.environ.get('ONLY', '')} {' '.join(sys.argv[1:])}"])
    out = pathlib.Path(os.environ.get("BUILD", engines.PROJECT / "build")) / "diff"
    out.mkdir(parents=True, exist_ok=True)
    (out / "recorded.json").write_text(json.dumps(recorder.answers))
    print(f"# {len(report.behaviours)} behaviours, {len(report.declared)} declared differences, "
          f"{time.monotonic() - started:.0f} s")
    print(f"diff: {report.passed} passed, {report.failed} failed")
    return bool(report.failed)


if __name__ == "__main__":
    sys.exit(main())
