"""Ways of running the graph: choose.py names them, engine.py runs the best that works."""
