"""What the tests of the real binary share: processes, readers that nobody here wrote, judges."""
