"""The main job from end to end: index real documents, ask five questions, print the frames.

Run it with ``make quickstart``, or ``python docs/quickstart.py``. It needs no server: without
``AISDK_DATABASE_URL`` an embedded PostgreSQL is started. Running it again finds its work done.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import aisdk

QUESTIONS = [
    "How do I parse a date from a string?",
    "compress a file with gzip",
    "run a subprocess and capture its output",
    "What happens when two notebooks add the same document?",
    "Which environment variable sets the database?",
]
MODULES = """
_strptime argparse ast asyncio base64 bisect calendar cmd collections concurrent configparser
contextlib copy csv datetime decimal difflib email enum fileinput fnmatch fractions functools
getpass glob gzip hashlib heapq html http imaplib inspect io json locale logging mailbox mimetypes
multiprocessing optparse os pathlib pickle pprint queue random re sched secrets shlex shutil
smtplib socket sqlite3 ssl statistics string subprocess tarfile tempfile textwrap threading timeit
tokenize traceback typing unittest urllib uuid warnings weakref xml zipfile zoneinfo
"""


def docstrings() -> Iterator[tuple[str, str, str]]:
    """Name, module and docstring of what Python's own standard library documents."""
    library = Path(sysconfig.get_path("stdlib"))
    for name in MODULES.split():
        path = library / f"{name}.py"
        if not path.exists():
            path = library / name / "__init__.py"
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                member = getattr(node, "name", "")
                if len(text) > 60 and not member.startswith("_"):
                    yield f"{name}.{member}".rstrip("."), name, text


def main() -> None:
    """Adds the documents, asks the questions and prints what came back with its times."""
    started = time.perf_counter()
    session = aisdk.connect("quickstart")
    print(f"connected in {time.perf_counter() - started:.2f} s: {session}\n")

    frame = pd.DataFrame(docstrings(), columns=["name", "module", "text"])
    frame = frame.drop_duplicates("name")
    for what, options in (
        (frame, {"id": "name", "title": "name"}),
        (str(Path(__file__).parent / "**" / "*.md"), {}),
    ):
        started = time.perf_counter()
        added = session.documents.add(what, **options).to_frame()
        counts = ", ".join(f"{n} {status}" for status, n in added["status"].value_counts().items())
        print(f"{len(added)} sources in {time.perf_counter() - started:.1f} s: {counts}")
    print(f"{session.documents.info()}\n")

    for question in QUESTIONS:
        started = time.perf_counter()
        hits = session.rag.query(question, top_k=3).to_frame()
        spent = (time.perf_counter() - started) * 1000
        hits["score"] = hits["score"].round(3)
        hits["title"] = hits["title"].str[:30].str.ljust(30)
        hits["text"] = hits["text"].str.split().str.join(" ").str[:70].str.ljust(70)
        print(f"{question}  ({spent:.0f} ms)")
        print(hits[["rank", "score", "title", "text"]].to_string(index=False), "\n")
    session.close()
    print("Next: `make lab` opens the notebooks; start with 01_quickstart.ipynb.")


if __name__ == "__main__":
    sys.exit(main())
