"""hcl - reads Terraform's language: bodies of arguments and blocks, and expressions, of which only the names they refer to
are kept. Strict: what it does not know is an error. For tests/lint/terraform.py."""
import dataclasses
import re

TOKEN = re.compile(r"""
    (?P<skip>[ \t]+|\#[^\n]*|//[^\n]*|/\*.*?\*/) | (?P<nl>\r?\n) | (?P<number>\d+(\.\d+)?) |
    (?P<name>[A-Za-z_][A-Za-z0-9_-]*) | (?P<op>\.\.\.|=>|==|!=|<=|>=|&&|\|\||[-+*/%!<>?:=.,(){}\[\]])
""", re.X | re.S)
BINARY = {"==", "!=", "<=", ">=", "<", ">", "&&", "||", "+", "-", "*", "/", "%"}


class Bad(Exception):
    """What is wrong, and in which line."""


@dataclasses.dataclass
class Expr:
    refs: list   # each a tuple of names: ("var", "region")
    text: str | None = None   # of a plain string
    items: list | None = None   # of a list, as Expr
    members: dict | None = None   # of an object, by key, as Expr


@dataclasses.dataclass
class Block:
    kind: str
    labels: list
    line: int
    args: dict = dataclasses.field(default_factory=dict)   # name -> (Expr, line)
    blocks: list = dataclasses.field(default_factory=list)


def string_end(text, at):
    """Where the string that opens at `at` ends, and its parts: text, or the source of a template with its offset."""
    parts, plain, i = [], "", at + 1
    while i < len(text) and text[i] != "\n":
        if text[i] == '"':
            return i + 1, parts + [plain]
        if text[i] == "\\":
            plain += {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}.get(text[i + 1], "?")
            i += 2
        elif text.startswith(("$${", "%%{"), i):
            plain, i = plain + text[i + 1:i + 3], i + 3
        elif text.startswith("${", i):
            depth, j = 1, i + 2
            while depth and j < len(text):
                if text[j] == '"':
                    j = string_end(text, j)[0]
                    continue
                depth += {"{": 1, "}": -1}.get(text[j], 0)
                j += 1
            parts += [plain, (text[i + 2:j - 1], i + 2)]
            plain, i = "", j
        elif text.startswith("%{", i):
            raise Bad(f"line {text.count(chr(10), 0, i) + 1}: template directives are not read here")
        else:
            plain, i = plain + text[i], i + 1
    raise Bad(f"line {text.count(chr(10), 0, at) + 1}: a string without an end")


def tokens(text):
    at, out = 0, []
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        if text[at] == '"':
            end, parts = string_end(text, at)
            out.append(("string", parts, line))
            at = end
            continue
        m = TOKEN.match(text, at)
        if not m:
            raise Bad(f"line {line}: unexpected {text[at]!r}")
        if m.lastgroup not in ("skip",):
            kind = next(k for k in ("skip", "nl", "number", "name", "op") if m[k] is not None)
            if kind != "skip":
                out.append((kind, m[0], line))
        at = m.end()
    return out + [("nl", "\n", line if text else 1), ("end", "", text.count("\n") + 1)]


class Parser:
    def __init__(self, text):
        self.tokens, self.at = tokens(text), 0
        self.quiet = [False]   # inside brackets, ends of lines mean nothing
        self.local = []        # names bound by `for`

    def peek(self):
        while self.quiet[-1] and self.tokens[self.at][0] == "nl":
            self.at += 1
        return self.tokens[self.at]

    def take(self, kind=None, value=None):
        token = self.peek()
        if (kind and token[0] != kind) or (value and token[1] != value):
            raise Bad(f"line {token[2]}: expected {value or kind}, found {token[1]!r}")
        self.at += 1
        return token

    def has(self, value):
        token = self.peek()
        if token[0] in ("op", "name") and token[1] == value:
            self.at += 1
            return True
        return False

    def lines(self):
        while self.peek()[0] == "nl":
            self.at += 1

    # ---- bodies ----

    def body(self, block, last):
        self.lines()
        while self.peek()[:2] != last:
            kind, name, line = self.take("name")
            if self.has("="):
                if name in block.args:
                    raise Bad(f"line {line}: {name} is given twice")
                block.args[name] = (self.expr(), line)
            else:
                inner = Block(name, [], line)
                while self.peek()[0] in ("string", "name"):
                    token = self.take()
                    inner.labels.append(token[1] if token[0] == "name" else "".join(token[1]))
                self.take("op", "{")
                self.body(inner, ("op", "}"))
                self.take("op", "}")
                block.blocks.append(inner)
            self.take("nl")
            self.lines()
        return block

    # ---- expressions ----

    def inside(self, opening, closing, read):
        self.quiet.append(True)
        result = read()
        self.take("op", closing)
        self.quiet.pop()
        return result

    def expr(self):
        e = self.operation()
        if self.has("?"):
            self.maybe_lines()
            yes = self.expr()
            self.maybe_lines()
            self.take("op", ":")
            self.maybe_lines()
            no = self.expr()
            return Expr(e.refs + yes.refs + no.refs)
        return e

    def maybe_lines(self):
        if self.peek()[0] == "nl" and self.quiet[-1]:
            self.lines()

    def operation(self):
        e = self.unary()
        while self.peek()[0] == "op" and self.peek()[1] in BINARY:
            self.take()
            e = Expr(e.refs + self.unary().refs)
        return e

    def unary(self):
        if self.peek()[:2] in (("op", "!"), ("op", "-")):
            self.take()
            return Expr(self.unary().refs)
        return self.postfix()

    def postfix(self):
        kind, value, line = self.peek()
        if kind != "name" or value in ("true", "false", "null") or self.tokens[self.at + 1][:2] == ("op", "("):
            e, path = self.primary(), None
        else:
            self.take()
            e, path = Expr([]), [value]
        while True:
            if self.has("."):
                kind, step, line = self.take()
                if kind not in ("name", "number") and step != "*":
                    raise Bad(f"line {line}: {step!r} after a dot")
                if path and kind == "name":
                    path.append(step)
            elif self.peek()[:2] == ("op", "["):
                self.take()
                self.quiet.append(True)
                if not self.has("*"):
                    e.refs += self.expr().refs
                self.take("op", "]")
                self.quiet.pop()
            else:
                break
            e.text = e.items = e.members = None
        if path and path[0] not in self.local:
            e.refs.append(tuple(path))
        return e

    def primary(self):
        kind, value, line = self.take()
        if kind == "number":
            return Expr([])
        if kind == "string":
            return self.string(value)
        if kind == "name":
            if value in ("true", "false", "null"):
                return Expr([])
            self.take("op", "(")
            return Expr([r for a in self.inside("(", ")", lambda: self.list_until(")", dots=True)) for r in a.refs])
        if value == "(":
            return Expr(self.inside("(", ")", self.expr).refs)
        if value == "[":
            return self.inside("[", "]", self.tuple)
        if value == "{":
            return self.object()
        raise Bad(f"line {line}: {value!r} where a value should be")

    def string(self, parts):
        refs = []
        for part in parts:
            if isinstance(part, tuple):
                inner = Parser(part[0])
                inner.quiet, inner.local = [True], self.local
                refs += inner.expr().refs
        return Expr(refs, text="".join(parts) if all(isinstance(p, str) for p in parts) else None)

    def list_until(self, closing, dots=False):
        out = []
        while self.peek()[:2] != ("op", closing):
            out.append(self.expr())
            if dots and self.has("..."):
                break
            if not self.has(","):
                break
        return out

    def tuple(self):
        if self.peek()[:2] == ("name", "for"):
            return self.comprehension(False)
        items = self.list_until("]")
        return Expr([r for i in items for r in i.refs], items=items)

    def comprehension(self, is_object):
        self.take("name", "for")
        names = [self.take("name")[1]]
        if self.has(","):
            names.append(self.take("name")[1])
        self.take("name", "in")
        refs = list(self.expr().refs)
        self.take("op", ":")
        self.local = self.local + names
        refs += self.expr().refs
        if is_object:
            self.take("op", "=>")
            refs += self.expr().refs
            self.has("...")
        if self.has("if"):
            refs += self.expr().refs
        self.local = self.local[:-len(names)]
        return Expr(refs)

    def object(self):
        self.quiet.append(False)
        self.lines()
        if self.peek()[:2] == ("name", "for"):
            self.quiet[-1] = True
            e = self.comprehension(True)
        else:
            e = Expr([], members={})
            while self.peek()[:2] != ("op", "}"):
                kind, value, line = self.peek()
                if kind == "name" and self.tokens[self.at + 1][1] in ("=", ":"):
                    self.take()
                    key = value
                else:
                    k = self.expr()
                    e.refs += k.refs
                    key = k.text
                if not (self.has("=") or self.has(":")):
                    raise Bad(f"line {line}: a key without a value")
                v = self.expr()
                e.refs += v.refs
                e.members[key] = v
                if not self.has(","):
                    if self.peek()[:2] != ("op", "}"):
                        self.take("nl")
                self.lines()
        self.take("op", "}")
        self.quiet.pop()
        return e


def read(text):
    parser = Parser(text)
    return parser.body(Block("file", [], 1), ("end", ""))
