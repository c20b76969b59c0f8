"""The tasks: all that makes a task a task."""
