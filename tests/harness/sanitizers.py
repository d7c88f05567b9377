"""Sanitized binaries: the options of each process, and what they found.

`scripts/sanitized-system thread|address` sets EVODB_SANITIZED. Reports go to files, written at the
moment of the finding: what a process found counts even if it is killed a moment later, and even if
nobody looks at how it ended.
"""

import os
import pathlib
import re
import tempfile

KIND = os.environ.get("EVODB_SANITIZED", "")  # thread, address, or nothing
assert KIND in ("", "thread", "address"), KIND
LOGS = pathlib.Path(tempfile.mkdtemp(prefix="evodb-sanitizers-")) if KIND else None
EXIT_CODE = 66  # of a process that found something and was not killed

_FINDING = re.compile(r"(WARNING|ERROR): \w*Sanitizer|runtime error:|SUMMARY: \w*Sanitizer")


def environment():
    """The sanitizers' options; nothing, unless sanitized binaries are tested."""
    if not KIND:
        return {}
    common = f"exitcode={EXIT_CODE}:log_path={LOGS}"
    if KIND == "thread":
        # It goes on after a race, to find them all; the run fails at its end.
        return {"TSAN_OPTIONS": f"{common}/tsan:halt_on_error=0:second_deadlock_stack=1"}
    return {"ASAN_OPTIONS": f"{common}/asan:halt_on_error=1:detect_leaks=1:"
                            "detect_stack_use_after_return=1:strict_string_checks=1:"
                            "check_initialization_order=1:strict_init_order=1",
            "UBSAN_OPTIONS": f"{common}/ubsan:halt_on_error=1:print_stacktrace=1"}


def findings():
    """The reports written so far, by file name."""
    if not KIND:
        return {}
    texts = {path.name: path.read_text(errors="replace") for path in sorted(LOGS.iterdir())}
    return {name: text for name, text in texts.items() if _FINDING.search(text)}
