"""Behind `python -m helpers`: running the notebooks, manifests, pictures for the README."""
