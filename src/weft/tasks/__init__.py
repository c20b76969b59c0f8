"""The tasks, one file each: all that makes a task a task."""
