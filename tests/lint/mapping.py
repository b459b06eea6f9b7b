#!/usr/bin/env python3
"""mapping - docs/docker-api-mapping.md against the code: every route of gateway/api/routes.c and every command of the
docker client has a row, every row of a call stands for a route, and every row names tests that are there. The test of a
command must have the command's last word in it. Only what the client does alone may be without a test."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = "docs/docker-api-mapping.md"
ROUTES = "gateway/api/routes.c"
CALL_COLUMNS, COMMAND_COLUMNS = 5, 4
METHODS = r"(?:GET|HEAD|POST|PUT|DELETE|\*)"

# What `docker --help` and `docker GROUP --help` of version 28 list, and docker compose 2.26; "" is the top.
COMMANDS = {
    "": "attach build commit cp create diff events exec export history images import info inspect kill load login logout logs "
        "pause port ps pull push rename restart rm rmi run save search start stats stop tag top unpause update version wait",
    "builder": "build prune",
    "checkpoint": "create ls rm",
    "container": "attach commit cp create diff exec export inspect kill logs ls pause port prune rename restart rm run start "
                 "stats stop top unpause update wait",
    "context": "create export import inspect ls rm show update use",
    "image": "build history import inspect load ls prune pull push rm save tag",
    "manifest": "annotate create inspect push rm",
    "network": "connect create disconnect inspect ls prune rm",
    "plugin": "create disable enable inspect install ls push rm set upgrade",
    "system": "df dial-stdio events info prune",
    "trust": "inspect revoke sign",
    "trust key": "generate load",
    "trust signer": "add remove",
    "volume": "create inspect ls prune rm update",
    "config": "create inspect ls rm",
    "node": "demote inspect ls promote ps rm update",
    "secret": "create inspect ls rm",
    "service": "create inspect logs ls ps rm rollback scale update",
    "stack": "config deploy ls ps rm services",
    "swarm": "ca init join join-token leave unlock unlock-key update",
    "compose": "attach build config cp create down events exec images kill logs ls pause port ps pull push restart rm run scale "
               "start stats stop top unpause up version wait watch",
}


def commands():
    return {f"{group} {name}".strip() for group, names in COMMANDS.items() for name in names.split()}


def routes():
    """(method, pattern) of each row of the table; a name is '*'."""
    text = (ROOT / ROUTES).read_text()
    return set(re.findall(r'^\t\{"(\S+)", "(\S+)", \w+\},', text, re.M))


def rows(text):
    """(line number, cells) of every row of a table of calls or of commands."""
    columns = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.startswith("|"):
            columns = 0
            continue
        cells = [c.strip() for c in line.strip("|").split(" | ")]
        if cells[0] == "call" or cells[0] == "command":
            columns = CALL_COLUMNS if cells[0] == "call" else COMMAND_COLUMNS
        elif columns and not line.startswith("|---"):
            yield number, columns, cells


def calls_of(cell):
    """`GET, HEAD /a/{x}?q=` in a cell: (method, pattern) of each."""
    for methods, path in re.findall(rf"`({METHODS}(?:, {METHODS})*) (/[^`?]*)[^`]*`", cell):
        for method in methods.split(", "):
            yield method, re.sub(r"\{\w+\}", "*", path)


def commands_of(cell):
    """`docker volume ls`, `rm`: a word alone belongs to the group of the command before it."""
    group = ""
    for words in re.findall(r"`([^`]*)`", cell):
        if words.startswith("docker "):
            words = words[len("docker "):]
            group = words.split()[0]
            yield words
        else:
            yield f"{group} {words}"


def tested(cell):
    """The files a tests cell names, and what is wrong with them."""
    files = [ROOT / "tests" / name for name in re.findall(r"`([^`]+)`", cell)]
    return files, [f"tests/{f.relative_to(ROOT / 'tests')} does not exist" for f in files if not f.is_file()]


def check_command(names, cells, complain):
    files, wrong = tested(cells[3])
    for w in wrong:
        complain(w)
    if not files and not cells[2].startswith("client only"):
        complain("no test")
    if not files or wrong:
        return
    text = "\n".join(f.read_text() for f in files)
    for name in names:
        word = name.split()[-1]
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text):
            complain(f'"{name}" is in none of its tests')


def main():
    text = (ROOT / PAGE).read_text()
    complaints, seen_calls, seen_commands = [], set(), set()
    known = routes()
    for number, columns, cells in rows(text):
        def complain(what, number=number):
            complaints.append(f"{PAGE}:{number}: {what}")

        if len(cells) != columns:
            complain(f"{len(cells)} columns, not {columns}")
        elif columns == CALL_COLUMNS:
            calls = set(calls_of(cells[0]))
            files, wrong = tested(cells[4])
            for w in wrong + ([] if files else ["no test"]) + ([] if calls else ["no call"]):
                complain(w)
            for call in sorted(calls - known):
                complain(f"{' '.join(call)} is no route of {ROUTES}")
            seen_calls |= calls
        else:
            names = list(commands_of(cells[0]))
            check_command(names, cells, complain)
            seen_commands |= set(names)
    complaints += [f"{PAGE}: no row for {' '.join(c)}" for c in sorted(known - seen_calls)]
    complaints += [f"{PAGE}: no row for docker {c}" for c in sorted(commands() - seen_commands)]
    print("\n".join(complaints))
    print(f"mapping: {len(known)} routes, {len(commands())} commands, {len(complaints)} complaints")
    return bool(complaints) or not known


if __name__ == "__main__":
    sys.exit(main())
