"""One module per engine, each with `run(task, watch)`; imported only in the environment that has the library."""
