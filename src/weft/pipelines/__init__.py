"""Trained models in use: text in, answers out."""
