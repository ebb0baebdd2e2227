"""Checks that stop a run or warn, and the approval of numbers whose checks warn."""
