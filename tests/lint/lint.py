# SPDX-License-Identifier: Apache-2.0
"""What the lints share: the files of the tree, C without its comments, and the one line that says the result.

A lint is a script with a function check(root) that yields one line for each finding, "path:line: what". It ends
with `ok lint-NAME` or `not ok lint-NAME`, so that it is counted like every other test case (see count-cases).
"""

import os
import re
import subprocess
import sys

SKIPPED_FOLDERS = re.compile(r"^build[^/]*(/|$)|(^|/)(\.git|\.cache|__pycache__|corpus)(/|$)")
C_COMMENT_OR_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def _from_git(root):
    """Tracked files and new ones that are not ignored; None where there is no (usable) git."""
    command = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        top = subprocess.run(["git", "-C", root, "rev-parse", "--show-toplevel"], capture_output=True, text=True)
        if top.returncode or os.path.realpath(top.stdout.strip()) != os.path.realpath(root):
            return None
        listing = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [path for path in listing.stdout.split("\0") if path]


def _from_folders(root):
    for folder, folders, names in os.walk(root):
        inside = os.path.relpath(folder, root)
        folders[:] = [f for f in folders if not SKIPPED_FOLDERS.search(os.path.normpath(f"{inside}/{f}"))]
        yield from (os.path.normpath(os.path.join(inside, name)) for name in names)


def files(root, *endings):
    """Paths below root, sorted; with endings (".c", ".h") only those. Build folders and corpora are left out."""
    found = _from_git(root)
    paths = _from_folders(root) if found is None else found
    return sorted(
        path
        for path in set(paths)
        if (not endings or path.endswith(endings))
        and not SKIPPED_FOLDERS.search(os.path.dirname(path))
        and os.path.isfile(os.path.join(root, path))
        and not os.path.islink(os.path.join(root, path))
    )


def read(root, path):
    """The text of a file, or "" for one that is no text."""
    with open(os.path.join(root, path), "rb") as file:
        data = file.read()
    return "" if b"\0" in data else data.decode("utf-8", "replace")


def code(text):
    """C without comments and with empty strings; every line stays on its line."""

    def blank(match):
        piece = match.group(0)
        return piece[0] * 2 if piece[0] in "\"'" else "\n" * piece.count("\n") or " "

    return C_COMMENT_OR_TEXT.sub(blank, text)


def functions(root, paths, kinds="f"):
    """(path, first line, last line, is_static, name) of each function (kinds "fv": and file-level variable)."""
    if not paths:
        return
    layout = "%{line}\t%{end}\t%{file}\t%{name}\t%{input}"
    command = ["ctags", "-x", f"--_xformat={layout}", "--fields=+ne", f"--kinds-C={kinds}", "--language-force=C"]
    listing = subprocess.run(command + list(paths), cwd=root, capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        first, last, scope, name, path = line.split("\t")
        yield path, int(first), int(last), scope == "file", name


def main(check):
    """Runs check on the tree named on the command line, else on the one that this file is in."""
    name = "lint-" + os.path.basename(sys.argv[0])
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    findings = list(check(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else here)))
    for finding in findings:
        print(finding)
    print(("not ok " if findings else "ok ") + name)
    sys.exit(1 if findings else 0)
