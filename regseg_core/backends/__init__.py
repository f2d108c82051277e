"""Ways of running the graph: choose.py names them, runner.py runs the best that works."""
