"""report - samples become figures with ratios and verdicts, and those a table: for a terminal, as Markdown, as a
chart. All three are made from result.json, so that any can be made again."""
import statistics

import plot

NAMES = {"plain": "ours, plain", "tls": "ours, TLS", "dockerd": "dockerd", "floor": "floor"}
OURS = ("plain", "tls")


def short(v):
    if v is None:
        return ""
    if abs(v) >= 100:
        return f"{v:,.0f}"
    return f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}" if abs(v) >= 0.095 else f"{v:.3f}"


def ratio(figure, ours, other, other_is_floor):
    """Times better than dockerd; times the floor's cost."""
    if not ours or not other:
        return None
    better = other / ours if figure.better == "lower" else ours / other
    return 1 / better if other_is_floor else better


def row(group, figure, samples, reasons):
    values = {s: {"median": statistics.median(v), "min": min(v), "max": max(v), "n": len(v)} for s, v in samples.items()}
    medians = {s: v["median"] for s, v in values.items()}
    ratios = {s: {other: ratio(figure, medians.get(s), medians.get(other), other == "floor") for other in ("dockerd", "floor")}
              for s in OURS if s in medians and figure.compare}
    goals = [{"text": g.text, "subject": g.subject, "times": g.times,
              "passed": g.judge(medians.get(g.subject), ratios.get(g.subject, {}).get("dockerd"))} for g in figure.goals]
    return {"key": figure.key, "group": group, "title": figure.title, "unit": figure.unit, "better": figure.better,
            "values": values, "ratios": ratios, "goals": goals, "reasons": {s: r for s, r in reasons.items() if s not in values}}


def result(figures, bench, head):
    rows = [row(group, f, bench.samples.get(f.key, {}), bench.reasons.get(f.key, {})) for group, f in figures]
    return {**head, "figures": rows}


# ---- text ----------------------------------------------------------------------------------------------

def cell(f, subject):
    v = f["values"].get(subject)
    if not v:
        return "-" if subject in f["reasons"] else ""
    return short(v["median"]) if v["n"] < 2 else f"{short(v['median'])} ({short(v['min'])}–{short(v['max'])})"


def both(f, other):
    said = [f["ratios"].get(s, {}).get(other) for s in OURS]
    return " / ".join(short(v) or "-" for v in said) if any(v is not None for v in said) else ""


def verdict(f):
    words = {True: "pass", False: "MISS", None: "?"}
    return ", ".join(f"{g['text']}: {words[g['passed']]}" for g in f["goals"])


HEAD = ["", "unit", *NAMES.values(), "times better than dockerd", "times the floor", "goal"]


def cells(f):
    return [f["title"], f["unit"], *(cell(f, s) for s in NAMES), both(f, "dockerd"), both(f, "floor"), verdict(f)]


def measured(r):
    """What nobody could measure has no line; notes() names it."""
    return [f for f in r["figures"] if f["values"]]


def headline(r):
    m = r["machine"]
    return (f"{m['cores']} cores {m['cpu']}, Linux {m['kernel']}, {m['dockerd'] or 'no dockerd'}, {m['openssl']}, commit {m['commit']}, "
            f"{m['date']}, load before {m['load_before']:.1f}; medians (and range) of {r['rounds']} round(s), {r['seconds']} s"
            + (", SHORT RUN: no yardstick" if r["smoke"] else "")
            + (", BUSY MACHINE: it did other work meanwhile, no yardstick" if m["load_before"] > m["cores"] else ""))


def notes(r):
    said = {}
    for f in r["figures"]:
        for subject, reason in f["reasons"].items():
            said.setdefault((NAMES.get(subject, subject), reason), []).append(f["key"])
    who = {}
    for (subject, reason), keys in said.items():
        who.setdefault((reason, tuple(keys)), []).append(subject)
    return [f"{reason}: {', '.join(keys)} ({'; '.join(subjects)})" for (reason, keys), subjects in who.items()]


def totals(r):
    goals = [g for f in r["figures"] for g in f["goals"]]
    return (f"goals: {sum(g['passed'] is True for g in goals)} passed, {sum(g['passed'] is False for g in goals)} missed, "
            f"{sum(g['passed'] is None for g in goals)} not measured")


def terminal(r):
    rows = [HEAD] + [cells(f) for f in measured(r)]
    widths = [max(len(line[i]) for line in rows) for i in range(len(HEAD))]
    out, group = [headline(r), ""], None
    for line, f in zip(rows, [None] + measured(r)):
        if f and f["group"] != group:
            group = f["group"]
            out.append(f"-- {group} " + "-" * 20)
        out.append("  ".join(c.ljust(w) if i in (0, 1, len(HEAD) - 1) else c.rjust(w)
                             for i, (c, w) in enumerate(zip(line, widths))).rstrip())
    return "\n".join(out + [""] + notes(r) + [totals(r)])


def markdown(r):
    out = [headline(r) + ".", "", "| " + " | ".join(HEAD) + " |", "|---|---|" + "---:|" * 6 + "---|"]
    out += ["| " + " | ".join(cells(f)) + " |" for f in measured(r)]
    return "\n".join(out + [""] + [f"- {n}" for n in notes(r)] + ["", totals(r).capitalize() + "."]) + "\n"


SHORT = ("exec_p50", "open_p50", "execs_per_s", "cli_exec", "echo_p50", "stdout_1", "stdin_1", "start_p50", "gateway_killed", "idle_many")


def short_markdown(r):
    """The few lines that a reader in a hurry wants."""
    out = [f"| | unit | {NAMES['plain']} | {NAMES['tls']} | dockerd | times better |", "|---|---|---:|---:|---:|---:|"]
    for f in r["figures"]:
        if f["key"] in SHORT:
            out.append("| " + " | ".join([f["title"], f["unit"], *(short(f["values"].get(s, {}).get("median")) for s in (*OURS, "dockerd")),
                                          both(f, "dockerd")]) + " |")
    return "\n".join(out) + "\n"


def drawing(r):
    rows = []
    for f in r["figures"]:
        bars = {NAMES[s]: f["ratios"].get(s, {}).get("dockerd") for s in OURS}
        if any(bars.values()):
            rows.append((f["title"][:52], bars, min((g["times"] for g in f["goals"] if g["times"]), default=None)))
    return plot.ratios("times better than dockerd (the black mark is the goal)", rows)
