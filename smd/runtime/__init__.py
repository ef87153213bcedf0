"""The running side: machines as actors, their supervisor, timers, the bus, the queue's wake-ups."""
