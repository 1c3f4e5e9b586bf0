# SPDX-License-Identifier: Apache-2.0
"""The manual pages of docs/man as data: what they name, declare, list and show.

They are mdoc(7), one macro to a line. What a page may do beyond that is little: NAME has a
line for each name, SYNOPSIS has declarations in macros and types in literal blocks, and a
literal block is code, a terminal or a text, which a reader can copy as it is shown."""
import glob
import os
import re

from harness import SOURCE

FOLDER = os.path.join(SOURCE, "docs", "man")
ESCAPES = {r"\e": "\\", r"\-": "-", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~",
    r"\&": "", r"\*q": '"'}


def plain(text):
    """As it is shown."""
    return re.sub(r"\\(?:\(..|\*.|.)", lambda m: ESCAPES[m.group()], text)


def arguments(line):
    """Those of a macro, as they are shown."""
    return [plain(quoted or bare) for quoted, bare in
        re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)]


def normal(text):
    """C without comments, and with white space where it means something."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r" ?([^\w ]) ?", r"\1", text)


class Page:
    def __init__(self, path):
        self.path, self.file = path, os.path.basename(path)
        self.name, self.number = self.file.rsplit(".", 1)
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.lines = [line for line in self.text.splitlines() if not line.startswith('.\\"')]

    def section(self, title, level="Sh"):
        """The lines under a heading, subsections included; none if it is not there."""
        found, inside = [], False
        for line in self.lines:
            if line.startswith((".Sh ", f".{level} ")):
                inside = line == f".{level} {title}"
            elif inside:
                found.append(line)
        return found

    def headings(self, level="Sh"):
        return [line[4:] for line in self.lines if line.startswith(f".{level} ")]

    def names(self):
        return [arguments(line)[1] for line in self.section("NAME") if line.startswith(".Nm ")]

    def items(self, macro, lines=None):
        """What `.It MACRO a , b` lists."""
        found = []
        for line in self.lines if lines is None else lines:
            words = arguments(line)
            if words[:2] == [".It", macro]:
                found += [word for word in words[2:] if word not in (",", "|", macro)]
        return found

    def references(self):
        """(name, section) of each .Xr, in lines of their own or within others."""
        return [pair for line in self.lines if line.startswith(".")
            for pair in re.findall(r"\bXr (\S+) (\d)", line)]

    def raw_blocks(self, lines):
        found, block = [], None
        for line in lines:
            if line.startswith(".Bd -literal"):
                block = []
            elif line == ".Ed":
                found.append("\n".join(block) + "\n")
                block = None
            elif block is not None:
                block.append(line)
        return found

    def blocks(self, title=None):
        """The literal blocks, as they are shown."""
        lines = self.lines if title is None else self.section(title)
        return [plain(block) for block in self.raw_blocks(lines)]

    def prototypes(self):
        """name -> declaration; of a macro without a type as well."""
        found, kind, name, taken = {}, "", None, []

        def done():
            found[name] = normal(f"{kind} {name}({','.join(taken)});")

        for line in self.section("SYNOPSIS"):
            macro, *words = arguments(line) if line.startswith(".") else [""]
            if macro == ".Ft":
                kind = " ".join(words)
            elif macro in (".Fn", ".Fo"):
                name, *taken = words
                if macro == ".Fn":
                    done()
                    kind = ""
            elif macro == ".Fa":
                taken += words
            elif macro == ".Fc":
                done()
                kind = ""
        return found


def pages(number=""):
    found = [Page(path) for path in sorted(glob.glob(f"{FOLDER}/*.[1-9]"))]
    if not found:
        raise AssertionError(f"{FOLDER} has no manual pages")
    return [page for page in found if page.number.startswith(number)]


def page(file):
    return Page(os.path.join(FOLDER, file))


# ---- Examples as a guide: guides.py plays them ---------------------------------------------

def terminal(text):
    """What is typed at a prompt, and what is answered, in fences."""
    fences, kind = [], None
    for line in text.splitlines():
        typed = line.startswith(("$ ", "> ")) or line == ">"
        if kind != typed:
            fences.append(["sh" if typed else "", []])
        kind = typed
        # What a shell leaves in the background goes there by itself.
        fences[-1][1].append(line[2:].removesuffix(" &") if typed else line)
    return fences


def guide(manual):
    """The EXAMPLES of a page, in Markdown."""
    fences = []
    for text in manual.blocks("EXAMPLES"):
        if text.startswith("$ "):
            fences += terminal(text)
        else:
            kind = {"#": "c", "{": "json"}.get(text[0], "") if not text.startswith("# ") else ""
            fences.append([kind, text.splitlines()])
    return "".join(f"```{kind}\n" + "\n".join(lines) + "\n```\n" for kind, lines in fences)
