"""How fast is it, and against what? Stages alone, a loop without guarantees, and the worker, in one run."""
