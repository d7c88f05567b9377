"""Reads a step's name a line and answers "ok" or "failed: " and why."""

import sys


def serve(do):
    for line in sys.stdin:
        try:
            do(line.strip())
        except Exception as error:
            text = f"{type(error).__name__}: {error}".replace("\n", " ")
            print(f"failed: {text}", flush=True)
        else:
            print("ok", flush=True)
