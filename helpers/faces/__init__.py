"""Faces in pictures: found, aligned, and described by networks that others trained."""
