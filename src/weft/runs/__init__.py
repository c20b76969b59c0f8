"""Folders of runs and models: the only place where they are read and written."""
