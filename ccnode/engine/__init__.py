"""The chain state at work: the greenlet that changes it, its worker threads, and what happens at a start."""
